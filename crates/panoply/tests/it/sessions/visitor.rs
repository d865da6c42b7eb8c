use super::*;

pub(super) fn keys() -> Keys {
    Keys::new(["a ring for tests: 7Jq2xYw9LrT4vKs8"]).unwrap()
}

/// An app that keeps what it is told.
pub(super) fn app(shield: &Shield) -> Router {
    async fn read(session: Session, Path(key): Path<String>) -> Result<Json<Value>, SessionError> {
        Ok(Json(session.get(&key)?.unwrap_or_default()))
    }
    async fn write(session: Session, Path((key, value)): Path<(String, String)>) -> Result<(), SessionError> {
        session.insert(&key, &value)
    }
    Router::new()
        .route("/", get(async || "hello"))
        .route("/{key}", get(read))
        .route("/{key}/{value}", post(write))
        .route("/sign_in", post(async |session: Session| session.sign_in("tim")))
        .route("/sign_out", post(async |session: Session| session.destroy()))
        .route(
            "/everywhere",
            post(async |session: Session| {
                Ok::<_, SessionError>(session.sign_out_everywhere().await?.to_string())
            }),
        )
        .route(
            "/elsewhere",
            post(async |session: Session| {
                Ok::<_, SessionError>(session.sign_out_elsewhere().await?.to_string())
            }),
        )
        .layer(shield.clone())
}

/// A browser at one host.
#[derive(Clone)]
pub(super) struct Visitor {
    pub(super) app: Router,
    pub(super) connection: Connection,
    pub(super) cookies: Vec<(String, String)>,
}

impl Visitor {
    pub(super) fn of(shield: &Shield) -> Self {
        Self {
            app: app(shield),
            connection: Connection::tls(([192, 0, 2, 1], 4000).into()),
            cookies: Vec::new(),
        }
    }

    pub(super) fn in_the_clear(shield: &Shield) -> Self {
        Self { connection: Connection::plain(([192, 0, 2, 1], 4000).into()), ..Self::of(shield) }
    }

    pub(super) async fn ask(&mut self, method: &str, path: &str) -> Response<Body> {
        let cookies: Vec<_> = self.cookies.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let request = Request::builder()
            .method(method)
            .uri(path)
            .header("host", "us.example")
            .header(COOKIE, cookies.join("; "))
            .extension(self.connection)
            .body(Body::empty())
            .unwrap();
        let response = self.app.clone().oneshot(request).await.unwrap();
        for line in lines(&response) {
            let (name, rest) = line.split_once('=').unwrap();
            self.cookies.retain(|(kept, _)| kept != name);
            if !line.contains("1970") {
                self.cookies.push((name.to_owned(), rest.split(';').next().unwrap().to_owned()));
            }
        }
        response.map(Body::new)
    }

    pub(super) async fn post(&mut self, path: &str) -> StatusCode {
        self.ask("POST", path).await.status()
    }

    pub(super) async fn get(&mut self, path: &str) -> String {
        let response = self.ask("GET", path).await;
        let body = response.into_body().collect().await.unwrap().to_bytes();
        String::from_utf8(body.to_vec()).unwrap()
    }
}

pub(super) fn lines<B>(response: &Response<B>) -> Vec<String> {
    response.headers().get_all(SET_COOKIE).iter().map(|line| line.to_str().unwrap().to_owned()).collect()
}

pub(super) fn stored(sessions: Sessions) -> (Shield, Arc<Memory>, Clock) {
    let clock = Clock::manual();
    let store = Arc::new(Memory::with_clock(clock.clone()));
    let shield =
        Shield::bare().sessions(sessions.store(store.clone())).world(Arc::new(World::new(clock.clone())));
    (shield, store, clock)
}
