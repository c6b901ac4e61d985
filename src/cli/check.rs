//! `config check`: is a file fine? What a file alone does not tell, a server is asked; what nobody was asked is said.

use super::apply::{self, Source, files, stem};
use super::output::say;
use super::{Code, Context, Failure, act};
use crate::client::{Client, Link};
use crate::config::settings;
use crate::integration::PROVIDERS;
use crate::model::{Action, ConfigName, Decision, RefusalKind};
use nix::unistd::{Group, User};
use std::path::Path;

/// What a server says of a configuration beyond what its text says itself.
pub(super) enum Said {
    /// It would be put into force.
    Fine,
    /// It would not, and why.
    Refused(String),
    /// It was not looked at, and why.
    Nothing(String),
}

/// Asks as `apply` would: about secrets, certificates and users of its machine, and about what it has in force.
pub(super) async fn of_server(client: &Client, source: Source) -> Result<Said, Failure> {
    let link = Link::Server(client.clone());
    let prepared = match act::ask(&link, Action::Apply, source.subject(Vec::new())).await {
        // It does not fit beside what is in force.
        Err(failure) if failure.code == Code::Usage => return Ok(Said::Refused(failure.what)),
        prepared => prepared?,
    };
    Ok(match prepared.decision {
        Decision::Allow { .. } | Decision::Needs(_) => Said::Fine,
        // What its machine has is told to those only who may apply.
        Decision::Refuse(refusal) if refusal.kind == RefusalKind::Denied => Said::Nothing(refusal.why),
        Decision::Refuse(refusal) => Said::Refused(refusal.why),
    })
}

/// What stays open where no server has looked.
pub(super) fn unlooked(why: &str) -> String {
    format!(
        "not checked: secrets, certificates, users and approvers of the server's machine, and what it has in force \
         (renamed_from, other configurations): {why}"
    )
}

/// Whether a file, or each of a folder, is fine.
pub(super) async fn services(context: &Context, file: &Path) -> Result<(), Failure> {
    if !file.is_dir() {
        return one(context, file, ConfigName::default(), false).await;
    }
    let mut wrong: Option<Failure> = None;
    for file in files(file)? {
        let Err(next) = one(context, &file, stem(&file), true).await else { continue };
        wrong = Some(match wrong {
            Some(all) => Failure { what: format!("{}\n{}", all.what, next.what), ..all },
            None => next,
        });
    }
    wrong.map_or(Ok(()), Err)
}

async fn one(context: &Context, file: &Path, name: ConfigName, one_of_several: bool) -> Result<(), Failure> {
    let (source, spec) = apply::read(file, name)?;
    let places = spec.without_user();
    if rustix::process::geteuid().is_root() && !places.is_empty() {
        say(&format!(
            "warning: a server of root's would run {} as root: name a user, such as user = \"www-data\"",
            places.join(", ")
        ));
    }
    let named = one_of_several || source.name != ConfigName::default();
    let called = if named { format!("; it is the configuration {}", source.name) } else { String::new() };
    let shown = file.display();
    say(&format!("{shown} is fine{called}"));
    let said = match context.client() {
        Ok(client) => of_server(&client, source).await,
        Err(failure) => Err(failure),
    };
    match said {
        Ok(Said::Fine) => say("the server would put it into force"),
        Ok(Said::Refused(why)) => say(&format!("the server would not put it into force: {why}")),
        Ok(Said::Nothing(why)) => say(&unlooked(&why)),
        Err(failure) => say(&unlooked(&failure.what)),
    }
    Ok(())
}

/// Whether config.toml is fine, and the names in it that nobody here has.
pub(super) async fn settings(context: &Context) -> Result<(), Failure> {
    let settings = settings::load(&context.paths, PROVIDERS, &[])?.settings;
    say(&format!("{} is fine", context.paths.settings().display()));
    let apply = &settings.serve.apply;
    for (name, who) in apply {
        for entry in who {
            if let Err(why) = account(entry) {
                say(&format!("warning: serve.apply.{name}: {why}"));
            }
        }
    }
    if apply.is_empty() {
        return Ok(());
    }
    let configs = match context.client() {
        Ok(client) => apply::configs(&client).await,
        Err(failure) => Err(failure),
    };
    let configs = match configs {
        Ok(configs) => configs,
        Err(failure) => {
            let why = failure.what;
            say(&format!("not checked: whether there are the configurations that serve.apply names: {why}"));
            return Ok(());
        }
    };
    let known: Vec<_> = configs.iter().filter(|of| of.in_force).map(|of| of.name.as_str()).collect();
    let listed = if known.is_empty() { "none".to_owned() } else { known.join(", ") };
    for name in apply.keys().filter(|name| !known.contains(&name.as_str())) {
        say(&format!("warning: serve.apply.{name}: no configuration {name} is in force (in force: {listed})"));
    }
    Ok(())
}

/// Is there whom an entry of a list means, as [`Actor::is`](crate::model::Actor::is) reads it?
fn account(entry: &str) -> Result<(), String> {
    let failed = |error: nix::Error| format!("users and groups of this machine can't be read: {error}");
    let user = |name: &str| User::from_name(name).map(|user| user.is_some()).map_err(failed);
    let group = |name: &str| Group::from_name(name).map(|group| group.is_some()).map_err(failed);
    let (what, there) = match entry.split_once(':') {
        Some(("user", name)) => ("user", user(name)?),
        Some(("group", name)) => ("group", group(name)?),
        // A user without a name is known by its number.
        Some(("uid", number)) => ("user", number.parse::<u32>().is_ok()),
        _ => ("user or group", user(entry)? || group(entry)?),
    };
    if there { Ok(()) } else { Err(format!("{entry:?} is no {what} of this machine")) }
}
