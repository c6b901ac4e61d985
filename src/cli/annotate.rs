//! `annotate`: a reason that is added to a command afterwards.

use super::act::{self, ActArgs};
use super::links::Links;
use super::{Context, Failure, complete};
use crate::client::Link;
use crate::model::{Action, Entity, Query, ReceiptId, Reply, Subject};
use clap::Args;

/// Options of `annotate`.
#[derive(Debug, Clone, Args)]
pub struct AnnotateArgs {
    /// Which command, by its receipt: `get receipts` lists them, each command prints its own.
    #[arg(value_name = "RECEIPT", add = complete::receipts())]
    pub receipt: String,
    /// Why it was given, or what came of it.
    #[arg(value_name = "TEXT")]
    pub text: String,
}

/// Puts it on record.
pub(super) async fn run(context: &Context, links: &Links, args: &AnnotateArgs) -> Result<(), Failure> {
    context.may_change()?;
    let id = ReceiptId(args.receipt.clone());
    for link in &links.each {
        if has(link, &id).await? {
            let act = ActArgs { reason: Some(args.text.clone()), yes: true, wait: None, timeout: None };
            return act::perform(context, link, Action::Annotate, Subject::Receipt { id }, None, &act).await;
        }
    }
    let what = format!("there is no receipt {id} among the newest");
    Err(Failure::usage(what).todo("`flightdeck get receipts` lists those; nothing was done"))
}

async fn has(link: &Link, id: &ReceiptId) -> Result<bool, Failure> {
    match link.query(Query::Board).await? {
        Reply::Board(rows) => Ok(rows.iter().any(|row| matches!(row, Entity::Receipt(of) if of.id == *id))),
        Reply::Refused(refusal) => Err(refusal.into()),
        _ => Ok(false),
    }
}
