"""What the siege's figures say, as a page for docs/."""

import collections
import json
import os
import pathlib
import re
import time


def requests(log, said):
    """h2load's file: when, which status, and how many microseconds."""
    rows = [line.split("\t") for line in log.splitlines()]
    times = sorted(int(row[2]) / 1000 for row in rows if row[1] == "200")
    failed = sum(row[1] != "200" for row in rows)
    unanswered = re.search(r"(\d+) failed, (\d+) errored, (\d+) timeout", said)
    failed += max(int(number) for number in unanswered.groups()) if unanswered else 1
    return {"sent": len(rows), "failed": failed, **spread(times)}


def spread(times):
    times = sorted(times)
    at = lambda share: times[min(len(times) - 1, int(len(times) * share))] if times else 0
    return {"p50": at(0.5), "p99": at(0.99), "worst": at(1)}


def slow(said):
    """slowhttptest's last words on its connections."""
    plain = re.sub(r"\x1b\[[0-9;]*m", "", said)
    last = lambda name: int((re.findall(rf"{name}:\s+(\d+)", plain) or [0])[-1])
    sent = sum(map(last, ("connected", "closed", "error")))
    return {"connections": sent, "cut off": last("closed"), "open at the end": last("connected")}


def faults(told):
    """What should not have been."""
    for phase in ("calm", "siege"):
        for who, fared in told[phase].items():
            if fared["failed"] or not fared["sent"]:
                yield f"{who} in the {phase}: {json.dumps(fared)}"
    if not told["alive"]:
        yield "the gateway ended"
    if told["smuggled"]:
        yield f"{told['smuggled']} smuggled requests came to the app"
    for kind, met in told["attackers"].items():
        if not met.get("connections"):
            yield f"`{kind}` did not take place"
    changed = grown(told)
    for name in ('panoply_reloads_total{result="taken"}', "panoply_store_outages_total",
                 'panoply_verdicts_total{practice="rate_limit",verdict="refused"}',
                 'panoply_verdicts_total{practice="hosts",verdict="refused"}', 'panoply_guesses_total{outcome="wrong"}'):
        if not changed.get(name):
            yield f"{name} did not grow: the operator would not know"


def text(told):
    package = f"from `{told['package']}`" if told["package"] else "with the settings of `panoply config default`"
    return f"""# Under attack

One gateway is attacked in every way we know at once, for {told['seconds']} seconds, and people use the shop beside it. \
`bench/siege/run` did this and wrote this page; `bench/siege/run --help` says how.

{told['version']}, {package}, and one site with `rate_limit = "{told['rate']}"`: with the default, 100/s and a burst \
of 2,000, each attacker may ask more of this app than it can do here. {machine()}

All of it shares these cores: the gateway, two places of the app (Node, Express), the store (Redis), the visitors and the \
attackers, whose floods run with the lowest priority. Attackers and visitors have networks and addresses of their own. \
Meanwhile the gateway was told to reload {told['reloads']} times, one of the app's two places was killed {told['kills']} \
times, and the store was dead for three quarters of the time.

## What the visitors noticed
Times in milliseconds. "Alone" is the {told['calm_seconds']} seconds before.

| visitor | alone: sent | failed | p50 | p99 | under siege: sent | failed | p50 | p99 | worst |
|---|---:|---:|---:|---:|---:|---:|---:|---:|---:|
{visitors(told)}

The last row is the app asked by this machine past the gateway, beside all others: what it has to wait for is the app \
and the machine.

{told['megabytes']} MiB were downloaded and {told['megabytes']} MiB uploaded, slowly, in each of the two. {smuggled(told)}

## What it cost the gateway
{cost(told)}

## What the attackers did, and how they were met
As they saw it themselves. Floods send until they are cut off, and connect anew.

| attacker | connections | sent | how it was met |
|---|---:|---:|---|
{attackers(told)}

## What an operator sees at `/metrics`
Counters that grew during the siege, by how much.

| figure | grew by | what it says |
|---|---:|---|
{metrics(told)}

## What an operator sees in the log
One line of each kind that came, and how often it came. At the default level.

{log(told)}

In the access log, of what was refused:

{access(told)}
`panoply explain ID` says of such an id what was refused, why, and which setting decided it.

## What was not tried
- Attackers on other machines, in numbers that fill the network or the kernel's tables: that is for whoever is in front.
- More than these cores. The attackers' programs are slower here than they would be on machines of their own.
- IPv6, the PROXY protocol, client certificates, ACME and PostgreSQL during the siege; their tests are in `crates/cli/tests/it`.
- Requests that are dear to the app alone: a `rate_limit` for their paths is the operator's to write.
"""


def machine():
    model = re.search(r"model name\s*:\s*(.*)", pathlib.Path("/proc/cpuinfo").read_text())
    memory = int(re.search(r"MemTotal:\s+(\d+)", pathlib.Path("/proc/meminfo").read_text())[1]) // 1048576
    name = model[1] if model else os.uname().machine
    return f"{time.strftime('%Y-%m-%d', time.gmtime())}, {name}, {os.cpu_count()} cores, {memory} GiB, Linux {os.uname().release}."


def visitors(told):
    names = {"echo": "a WebSocket that echoes", "events": "server-sent events, every 200 ms", "download": "a download",
             "upload": "an upload", "logins": "somebody who logs in", "app": "the app, past the gateway"}
    def half(fared, worst):
        times = [f"{fared[key]:.0f}" if key in fared else "" for key in ("p50", "p99", *worst)]
        return [f"{fared['sent']:,}", str(fared["failed"]), *times]
    rows = []
    for who in told["calm"]:
        cells = [names.get(who, f"`GET /`, {who}"), *half(told["calm"][who], []), *half(told["siege"][who], ["worst"])]
        rows.append(f"| {' | '.join(cells)} |")
    return "\n".join(rows)


def smuggled(told):
    return f"Of the smuggled requests {told['smuggled'] or 'none'} came to the app."


def cost(told):
    rows = ["| | alone | under siege, at most | ten seconds after |", "|---|---:|---:|---:|"]
    for name, index, show in (("memory, MiB", 1, lambda kib: f"{kib / 1024:.0f}"), ("threads", 2, str), ("open files", 3, str)):
        most = {phase: max((sample[index] for sample in told["samples"] if sample[0] == phase), default=0)
                for phase in ("calm", "siege")}
        rows.append(f"| {name} | {show(most['calm'])} | {show(most['siege'])} | {show(told['samples'][-1][index])} |")
    cpu = {}
    for phase, seconds in (("calm", told["calm_seconds"]), ("siege", told["seconds"])):
        ticks = [sample[4] for sample in told["samples"] if sample[0] == phase]
        cpu[phase] = f"{(ticks[-1] - ticks[0]) / seconds:.2f}"
    rows.append(f"| cores in use, on average | {cpu['calm']} | {cpu['siege']} | |")
    return "\n".join(rows)


def attackers(told):
    names = {"idle": "idle, after the hello or before", "handshakes": "handshakes, and nothing else",
             "guesses": "guesses at logins, from four addresses", "scanner": "a scanner of bare IP and other names",
             "stalls": "HTTP/2 without a window", "smuggling": "smuggling, 20 ways"}
    rows = []
    for kind, met in told["attackers"].items():
        how = ", ".join(f"{what}: {count:,}" for what, count in met.items() if what not in ("connections", "sent"))
        sent = f"{met['sent']:,}" if "sent" in met else ""
        rows.append(f"| {names.get(kind, kind)} | {met.get('connections', 0):,} | {sent} | {how} |")
    return "\n".join(rows)


def grown(told):
    counters = lambda page: {name: value for name, value in page.items() if name.split("{")[0].endswith("_total")}
    before = counters(told["before"])
    return {name: value - before.get(name, 0) for name, value in counters(told["after"]).items() if value > before.get(name, 0)}


def metrics(told):
    rows = []
    for name, more in grown(told).items():
        reading = next((said for pattern, said in METRICS if re.search(pattern, name)), None)
        if reading:
            rows.append(f"| `{name}` | {more:,} | {reading} |")
    return "\n".join(rows)


def log(told):
    kinds = collections.defaultdict(list)
    for line in told["log"].splitlines():
        words = re.match(r"\S+Z\s+(\w+)\s+(.*)", line)
        if words:
            said = re.split(r"\s\w+=", words[2])[0]
            reason = re.search(r'practice="\w+"|reason="\w+"', words[2])
            kinds[said, reason and reason[0]].append(line)
    shown = []
    for (said, _), lines in kinds.items():
        reading = next((help for pattern, help in LOG if re.search(pattern, lines[0])), "")
        shown.append(f"```\n{lines[0]}\n```\n{len(lines):,} ×. {reading}\n")
    return "\n".join(shown)


def access(told):
    refused = {}
    for line in told["access"].splitlines():
        try:
            said = json.loads(line)
        except ValueError:
            continue
        if said.get("refused") or said.get("practice"):
            refused.setdefault(str(said.get("refused") or said.get("practice")), line)
    return "```json\n" + "\n".join(list(refused.values())[:3]) + "\n```"


METRICS = [
    (r'verdicts_total\{practice="hosts",verdict="refused"', "Asked for a name that is not ours: scanners."),
    (r'^panoply_verdicts_total\{practice="rate_limit",verdict="refused"', "Asked more often than one client may: 429."),
    (r'rule_verdicts.*rate_limit', "Which limit that was."),
    (r'verdicts_total\{practice="brute_force",verdict="refused"', "Logins that were not let through to be tried: 429."),
    (r'verdicts_total\{practice="limits",verdict="refused"', "Too large, or bodies too slow: 408, 413, 414."),
    (r'verdicts_total\{practice="app",verdict="refused"', "The app was not there, or the visitor broke off his body."),
    (r'verdicts_total\{practice="\w+",verdict="refused"', "Refused by this practice."),
    (r'guesses_total\{outcome="wrong"', "Wrong passwords that were tried."),
    (r'guesses_total\{outcome="right"', "Right ones."),
    (r'cut_total\{reason="handshake"', "Connected, and did not shake hands in time."),
    (r'cut_total\{reason="head"', "Sent no whole head of a request in time: slow heads, idle ones."),
    (r'cut_total\{reason="unread"', "Did not read what they asked for: slow readers, HTTP/2 without a window."),
    (r'cut_total\{reason="idle"', "Asked nothing more."),
    (r'cut_total\{reason="flood"', "HTTP/2 frames in numbers that no honest client sends."),
    (r'cut_total\{reason="framing"', "No good HTTP: what can be read in two ways, or frames that break the rules."),
    (r'cut_total\{reason="client"', "Had as many connections as one client may."),
    (r'cut_total\{reason="full"', "Found no place."),
    (r'handshakes?_failed_total|unmet', "Handshakes that came to nothing, by why."),
    (r'upstream_failures_total.*refused', "Nobody listened there: the killed place. Every reload begins this count anew."),
    (r'upstream_failures_total.*broken', "It broke off: it was killed with requests under way."),
    (r'upstream_sent_again_total', "Requests that a killed place could not answer, and this one did."),
    (r'reloads_total\{result="taken"', "Reloads."),
    (r'store_outages_total', "How often the store of counts began to fail."),
    (r'store_spared_total\{by="insurance"', "Answers that memory gave while the store was dead."),
    (r'access_log_dropped_total', "Lines that the access log lost."),
]
LOG = [
    (r'this runs as root', "In namespaces of its own the siege is root of nothing; an installation has `user`, or a unit that says so."),
    (r'sandbox: ', "What the gateway has taken from itself before the first visitor came, and what it can still write."),
    (r'left out: ', "Of one client and practice the log has ten lines in ten seconds; `lines` is how many more there were."),
    (r'practice="hosts"', "A scanner: its address, and the id of the request."),
    (r'practice="rate_limit"', "Who asks too often, and over which limit."),
    (r'practice="brute_force"', "Somebody guesses passwords."),
    (r'practice="limits"', "A body came too slowly, or a request was too large."),
    (r'practice="app"', "The visitor broke off, or no place of the app answered."),
    (r'left out', "A place of the app was killed, and is not asked for a while."),
    (r'asked again', "It is back."),
    (r'store of shared values', "The same store, for what machines share: certificates and keys of tickets. It died, or answers again."),
    (r'store of counts|counters|[Rr]edis', "The store died, or answers again; limits go on in memory."),
    (r'reload|configuration|taken into use', "What SIGHUP did."),
    (r'reason="flood"', "HTTP/2 floods: whose, and how many by now."),
    (r'reason="framing"', "Attempts at smuggling, and broken frames: whose, and how many by now."),
    (r'recv_reset', "The HTTP/2 library: streams are reset faster than they are taken up (Rapid Reset)."),
    (r'trusted_proxies', "All comes from few addresses: is there a balancer that nobody declared?"),
]
