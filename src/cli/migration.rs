//! `migration`: what a person has seen of a service's data goes into the record; nothing is run.

use super::act::{self, ActArgs};
use super::get::{self, GetArgs, Row};
use super::links::{Links, Need};
use super::output::{Cell, Tone};
use super::target::Rows;
use super::{Context, Failure, complete, target};
use crate::board::migrations;
use crate::model::{Action, Entity, MigrationRow, Place, Service, Subject};
use clap::{Args, Subcommand};
use serde_json::json;

/// Options of `migration`.
#[derive(Debug, Args)]
pub struct MigrationArgs {
    /// What to say.
    #[command(subcommand)]
    pub command: MigrationCommand,
}

/// What can be said of migrations. `get migrations` lists them.
#[derive(Debug, Subcommand)]
pub enum MigrationCommand {
    /// Their data is there: they are not run, and no way back takes them back.
    Applied {
        /// Of what, as service@environment, or source/service@environment.
        #[arg(value_name = "SERVICE@ENV", add = complete::rollouts(None))]
        target: String,
        /// Which.
        #[arg(value_name = "NAME", required_unless_present = "all")]
        names: Vec<String>,
        /// All that are configured, such as for a database that was there before.
        #[arg(long, conflicts_with = "names")]
        all: bool,
        /// How it is confirmed and followed.
        #[command(flatten)]
        act: ActArgs,
    },
    /// Nothing of them is there: the next version that brings them runs them.
    NotApplied {
        /// Of what, as service@environment, or source/service@environment.
        #[arg(value_name = "SERVICE@ENV", add = complete::rollouts(None))]
        target: String,
        /// Which.
        #[arg(value_name = "NAME", required = true)]
        names: Vec<String>,
        /// How it is confirmed and followed.
        #[command(flatten)]
        act: ActArgs,
    },
}

/// Puts it on record.
pub(super) async fn run(context: &Context, links: &Links, args: &MigrationArgs) -> Result<(), Failure> {
    context.may_change()?;
    let (target, names, applied, act) = match &args.command {
        MigrationCommand::Applied { target, names, act, .. } => (target, names, true, act),
        MigrationCommand::NotApplied { target, names, act } => (target, names, false, act),
    };
    let Some((service, environment)) = target.split_once('@') else {
        return Err(Failure::usage(format!("{target:?} names no environment")).todo("say service@environment"));
    };
    let rows = links.rows(Need::Named(service)).await?;
    let (source, service) = target::service(&rows, service, Some(environment))?;
    let (environment, names) = (environment.into(), names.clone());
    let subject = Subject::Migrations { source, service, environment, names, applied };
    act::perform(context, links.of(subject.source())?, Action::Migration, subject, None, act).await
}

/// `get migrations`: those of each service in each environment, in their order.
pub(super) fn rows(rows: &Rows, args: &GetArgs) -> Result<Vec<Row>, Failure> {
    let services = rows.entities.iter().filter_map(|entity| match entity {
        Entity::Service(service) => Some(service),
        _ => None,
    });
    let places = services.flat_map(|service| service.places.iter().map(move |place| (service, place)));
    let listed = places.filter(|(service, place)| get::of(args, &service.name.0, &place.environment.0));
    let all = listed.flat_map(|(service, place)| place.migrations.iter().map(move |one| (service, place, one)));
    let named = |name: &str| args.name.as_ref().is_none_or(|wanted| wanted == name);
    all.filter(|(.., one)| named(&one.name)).map(|(service, place, one)| row(service, place, one)).collect()
}

fn row(service: &Service, place: &Place, one: &MigrationRow) -> Result<Row, Failure> {
    let tone = if migrations::asks(one) { Tone::Warn } else { Tone::Plain };
    let cells = vec![
        one.name.as_str().into(),
        format!("{}@{}", service.name, place.environment).into(),
        Cell { text: migrations::standing(one), tone },
        one.version.as_ref().map_or("-", |version| version.as_str()).into(),
        migrations::rollback(one).into(),
    ];
    let of = json!({ "source": service.source, "service": service.name, "environment": place.environment });
    let mut json = get::value(one)?;
    if let (Some(json), Some(of)) = (json.as_object_mut(), of.as_object()) {
        json.extend(of.clone());
    }
    Ok(Row { name: one.name.clone(), json, cells })
}
