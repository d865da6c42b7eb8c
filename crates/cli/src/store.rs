//! `panoply store`: does the store of sessions work, and does it have its tables?

use std::env;
use std::process::ExitCode;
use std::time::Duration;

use panoply::store::{self, Postgres, Replaced, StoreError};
use panoply::{Clock, SettingError, StoreUrl};

use crate::args::Store;
use crate::trouble::Trouble;

#[expect(clippy::print_stdout, reason = "the report, and the SQL, are this command's data")]
pub(crate) async fn store(command: Store) -> Result<ExitCode, Trouble> {
    match command {
        Store::Migrate { url, schema, table, print } => {
            let url = url_or_environment(url)?;
            if !matches!(StoreUrl::parse(&url), Ok(StoreUrl::Postgres(_))) {
                store::open(&url, &Clock::system()).map_err(|error| wrong(&error))?;
                println!("a store that is not PostgreSQL has no tables: nothing to do");
                return Ok(ExitCode::SUCCESS);
            }
            let postgres =
                postgres(&url, schema.as_deref(), table.as_deref()).map_err(|error| wrong(&error))?;
            if print {
                print!("{}", postgres.migration());
            } else {
                postgres.migrate().await?;
                println!("the tables are there");
            }
        }
        Store::Check { url } => {
            let store =
                store::open(&url_or_environment(url)?, &Clock::system()).map_err(|error| wrong(&error))?;
            let clock = Clock::system();
            check(&*store).await?;
            let milliseconds = clock.now().as_secs_f64() * 1e3;
            println!("{store:?}: a session was written, changed, read and destroyed in {milliseconds:.1} ms");
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// One session through all that sessions go through.
async fn check(store: &dyn store::Store) -> Result<(), Trouble> {
    let id = format!("panoply-check-{:032x}", panoply::World::default().random());
    store.create(&id, r#"{"check":1}"#, BRIEFLY).await?;
    let replaced = store.replace(&id, r#"{"check":1}"#, r#"{"check":2}"#, BRIEFLY).await?;
    let (found, touched) = (store.load(&id).await?, store.touch(&id, BRIEFLY).await?);
    store.bind(&id, &id, BRIEFLY).await?;
    let destroyed = store.destroy_all(&id, None).await?;
    let right = replaced == Replaced::Done
        && touched
        && destroyed == 1
        && found.as_deref() == Some(r#"{"check":2}"#)
        && store.load(&id).await?.is_none();
    if right {
        return Ok(());
    }
    Err(Trouble::new(
        "the store answers, but forgets or changes what it is given",
        "is it a cache that throws out what is new, or another program's?",
    ))
}

fn postgres(url: &str, schema: Option<&str>, table: Option<&str>) -> Result<Postgres, SettingError> {
    let mut postgres = Postgres::connect(url)?;
    if let Some(schema) = schema {
        postgres = postgres.schema(schema)?;
    }
    if let Some(table) = table {
        postgres = postgres.table(table)?;
    }
    Ok(postgres)
}

/// On the command line, every process of the machine can read a password.
fn url_or_environment(url: Option<String>) -> Result<String, Trouble> {
    url.or_else(|| env::var("PANOPLY_STORE").ok()).filter(|url| !url.is_empty()).ok_or_else(|| {
        Trouble::new("no store was named", "write its URL, or set PANOPLY_STORE where it holds a password")
    })
}

fn wrong(error: &SettingError) -> Trouble {
    Trouble::new(error, error.hint())
}

impl From<StoreError> for Trouble {
    fn from(error: StoreError) -> Self {
        let hint = match error {
            StoreError::Down(_) => "does it run, and does the URL name its host and port?",
            StoreError::Slow(_) => "is it overloaded, or is a firewall on the way?",
            _ => "may this user write there? PostgreSQL gets its tables from `panoply store migrate`",
        };
        Self::chained(&error, hint)
    }
}

const BRIEFLY: Duration = Duration::from_secs(30);
