//! Looks whether a service is ready.

use std::{future::Future, path::Path, pin::Pin, sync::Arc, time::Duration};

use tokio::time::sleep;

use super::{Ready, lines::Log};

// Between two looks at what sends no event: a file, an HTTP endpoint.
const LOOK: Duration = Duration::from_millis(25);
const HTTP_TIMEOUT: Duration = Duration::from_secs(2);

/// Returns once the service is ready; never where it will not be.
pub(super) fn ready(ready: Ready, log: Arc<Log>) -> Pin<Box<dyn Future<Output = ()> + Send>> {
    Box::pin(async move {
        match ready {
            Ready::Started => {}
            Ready::Line(_) => log.awaited_line().await,
            Ready::File(path) => file(&path).await,
            Ready::Http(url) => http(&url).await,
            Ready::All(all) => {
                for one in all {
                    self::ready(one, Arc::clone(&log)).await;
                }
            }
        }
    })
}

async fn file(path: &Path) {
    while !tokio::fs::try_exists(path).await.unwrap_or(false) {
        sleep(LOOK).await;
    }
}

async fn http(url: &str) {
    let client = reqwest::Client::new();
    loop {
        let answer = client.get(url).timeout(HTTP_TIMEOUT).send().await;
        if answer.is_ok_and(|answer| answer.status().is_success()) {
            return;
        }
        sleep(LOOK).await;
    }
}
