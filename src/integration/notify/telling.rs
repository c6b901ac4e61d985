//! What those who are told have in common: the words, and whether the same is told again.

use crate::http::Answer;
use flightdeck_port::{Checked, CommandNews, Configured, NotTold, Notification, NotifyEvent, Provider, WrongSetting};
use hyper::StatusCode;

/// Opens it and sends nothing: that is what `notify test` is for.
pub(super) async fn doctor(provider: &dyn Provider, configured: &Configured) -> Checked {
    match provider.open(configured).await {
        Ok(_) => Checked::Good(format!("can be told; `flightdeck notify test {}` tries it", configured.name)),
        Err(WrongSetting { what, .. }) => Checked::Bad { what, todo: "mend the file, or what it names".to_owned() },
    }
}

pub(super) fn is_address(key: &'static str, url: &str) -> Result<(), WrongSetting> {
    if url.starts_with("https://") || url.starts_with("http://") {
        return Ok(());
    }
    Err(WrongSetting::at(key, "expected an address that begins with \"https://\" or \"http://\""))
}

/// What happened, on one line.
pub(super) fn headline(notification: &Notification) -> String {
    let Notification { event, service, environment, to, .. } = notification;
    if let Some(CommandNews { action, stages, .. }) = notification.command.as_deref() {
        let author = notification.author.as_deref().unwrap_or("somebody");
        let stage = stages.last().map_or("requested", |record| record.stage.word());
        let place = if service.is_empty() { String::new() } else { format!("{service} in {environment}: ") };
        return format!("{place}{} by {author} is {stage}", action.name());
    }
    let happened = match event {
        NotifyEvent::Failed => "failed",
        NotifyEvent::Aborted => "was aborted",
        NotifyEvent::RolledBack => "was rolled back",
        NotifyEvent::WaitsForPerson => "waits for a person",
        NotifyEvent::Breach => "broke a limit",
        NotifyEvent::Succeeded => "succeeded",
        NotifyEvent::Superseded => "was superseded",
        NotifyEvent::Command => "was commanded",
        NotifyEvent::Test => "test: nothing happened",
    };
    format!("{service} in {environment}: {to} {happened}")
}

/// The three characters to which HTML, and Slack, give a meaning of their own: without them no text becomes a link or a
/// mention.
pub(super) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

/// Did a chat, or whoever keeps what people look at, take it?
pub(super) fn judged(answer: &Answer) -> Result<(), NotTold> {
    match answer.status {
        status if status.is_success() => Ok(()),
        // What it was meant for is gone, or it is not wanted: the same again brings the same.
        StatusCode::BAD_REQUEST | StatusCode::FORBIDDEN | StatusCode::NOT_FOUND | StatusCode::GONE => {
            Err(NotTold::for_good(answer.complaint()))
        }
        _ => Err(NotTold::passing(answer.complaint())),
    }
}

#[cfg(test)]
pub(super) fn told() -> Notification {
    Notification {
        id: "msg_1".to_owned(),
        event: NotifyEvent::RolledBack,
        at: "2026-11-30T04:00:00Z".parse().unwrap(),
        source: "local".to_owned(),
        service: "shop".to_owned(),
        environment: "production".to_owned(),
        run: "local/shop@production/r-7".to_owned(),
        trace_id: "0af7651916cd43dd8448eb211c80319c".to_owned(),
        from: Some("1.4".to_owned()),
        to: "1.5".to_owned(),
        author: Some("ann".to_owned()),
        why: "errors 18 % > 1 % <!channel> & more".to_owned(),
        breach: None,
        rollout: None,
        command: None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use bytes::Bytes;
    use flightdeck_model::{Action, CommandId, Stage, StageRecord};
    use hyper::header::HeaderMap;

    #[test]
    fn a_command_is_told_by_whom_and_how_far_it_came() {
        let stages = vec![StageRecord { stage: Stage::effective("stable 100 %"), at: told().at }];
        let (id, action) = (CommandId("c-1".into()), Action::Abort);
        let news = CommandNews { id, action, reason: None, stages };
        let command = Notification { event: NotifyEvent::Command, command: Some(Box::new(news)), ..told() };
        assert_eq!(headline(&command), "shop in production: abort by ann is effective");
        let nowhere = Notification { service: String::new(), ..command };
        assert_eq!(headline(&nowhere), "abort by ann is effective");
        let breach = Notification { event: NotifyEvent::Breach, ..told() };
        assert_eq!(headline(&breach), "shop in production: 1.5 broke a limit");
    }

    /// The bodies are those of Grafana and Slack.
    #[test]
    fn what_the_same_again_can_not_mend_is_not_tried_again() {
        for (status, body, again) in [
            (200, r#"{"message":"Annotation added","id":1}"#, None),
            (200, "ok", None),
            (302, "", Some(true)),
            (400, r#"{"message":"Failed to save annotation"}"#, Some(false)),
            // Another token may be there with the next start.
            (401, r#"{"message":"Invalid API key"}"#, Some(true)),
            (403, r#"{"message":"You'll need additional permissions to perform this action"}"#, Some(false)),
            (404, "no_service", Some(false)),
            (410, "channel_is_archived", Some(false)),
            (429, "rate_limited", Some(true)),
            (500, r#"{"message":"Failed to save annotation"}"#, Some(true)),
        ] {
            let body = Bytes::from_static(body.as_bytes());
            let status = StatusCode::from_u16(status).unwrap();
            let judged = judged(&Answer { status, headers: HeaderMap::new(), body });
            assert_eq!(judged.map_err(|not_told| not_told.again).err(), again, "{status}");
        }
    }
}
