//! `logs`: an instance's output.

use super::output::print_lines;
use super::{Context, Failure, unexpected};
use crate::model::{Query, Reply, sanitize_line};
use clap::Args;
use futures::StreamExt as _;

/// Options of `logs`.
#[derive(Debug, Args)]
pub struct LogsArgs {
    /// Which instance; `get instances` lists them.
    #[arg(value_name = "INSTANCE")]
    pub instance: String,
    /// Go on with each new line.
    #[arg(short, long)]
    pub follow: bool,
    /// At most so many of the last lines.
    #[arg(short = 'n', long, value_name = "N", default_value_t = 200)]
    pub lines: u32,
}

/// Prints them.
pub(super) async fn run(context: &Context, args: &LogsArgs) -> Result<(), Failure> {
    let client = context.client()?;
    if !args.follow {
        let query = Query::Logs { instance: args.instance.clone(), lines: args.lines };
        return match client.query(query).await? {
            Reply::Lines(lines) => print_lines(&lines.lines.iter().map(|l| sanitize_line(l)).collect::<Vec<_>>()),
            other => Err(unexpected(&other)),
        };
    }
    let mut lines = client.follow_log(&args.instance, args.lines).await?;
    while let Some(line) = lines.next().await {
        print_lines(&[sanitize_line(&line?)])?;
    }
    Ok(())
}
