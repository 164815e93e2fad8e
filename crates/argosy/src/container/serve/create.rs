//! Making a container: what is asked for, in the words of `argosy container create`.

use http::StatusCode;
use serde_json::json;

use super::Server;
use super::answer::{Answer, Refusal, in_thread, with_status};
use super::call::Call;
use super::child::run_unseen;
use super::options_of::words;

pub(super) async fn create(server: &Server, call: Call) -> Answer {
    let name = call.query.get("name").map(|it| it.trim_start_matches('/').to_owned());
    let platform = call.query.get("platform").map(str::to_owned);
    let body = call.json().await?;
    let image = body["Image"].as_str().unwrap_or_default().to_owned();
    let words = words(name.as_deref(), platform.as_deref(), &body)?;
    // A client that hears of this pulls the image, and asks again.
    let engine = server.engine.clone();
    in_thread(move || {
        let known = engine.store()?.find(&image).is_ok();
        let none = || Refusal::new(StatusCode::NOT_FOUND, format!("No such image: {image}"));
        known.then_some(()).ok_or_else(none)
    })
    .await?;
    let ended = run_unseen(&server.engine, &words.words).await?;
    match ended.code {
        0 => {
            let said = ended.stderr.lines().map(|it| it.trim_start_matches("note: ").to_owned());
            let warnings: Vec<String> = words.notes.into_iter().chain(said).collect();
            let value = json!({ "Id": ended.stdout, "Warnings": warnings });
            Ok(with_status(StatusCode::CREATED, &value))
        }
        2 => Err(Refusal::conflict(ended.why())),
        // As of everything that is not as it should be.
        _ => Err(Refusal::bad(ended.why())),
    }
}
