// The pages of shop.js: a chat over WebSocket and a list of server-sent events.
document.documentElement.dataset.external = 'ran';

const form = document.getElementById('chat');
if (form) {
  const socket = new WebSocket(`${location.origin.replace(/^http/, 'ws')}/ws`);
  socket.onopen = () => { form.dataset.state = 'open'; };
  socket.onmessage = ({ data }) => show('messages', data);
  form.onsubmit = (event) => {
    event.preventDefault();
    socket.send(form.elements.text.value);
    form.reset();
  };
}

if (document.getElementById('events')) {
  new EventSource('/events').onmessage = ({ data }) => show('events', data);
}

function show(list, text) {
  const item = document.createElement('li');
  item.textContent = text;
  document.getElementById(list).append(item);
}
