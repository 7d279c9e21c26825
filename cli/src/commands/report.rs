//! `atlas report`: the figures of a run's report, and where its page lies.

use crate::args::{Output, ReportArgs};
use crate::directory::Directory;
use crate::failure::{Exit, Failure, Result};
use crate::print;
use crate::report::Report;

/// Prints the report; with `--open` shows the page in the browser.
pub fn report(args: &ReportArgs) -> Result<Exit> {
    let directory = Directory::find(&args.which.dir, args.which.run.as_deref())?;
    let folder = directory.report();
    let report = Report::read(&folder)?;
    // Written anew, so that a page of an older atlas looks like this one's.
    let page = report.write(&folder)?;
    match args.output.output {
        Output::Json => print::json(&report)?,
        Output::Text => {
            print::line(report.summary(true));
            print::line(format!("page     {}", page.display()));
        }
    }
    if args.open {
        open::that_detached(&page).map_err(|e| {
            Failure::fault(format!("cannot open {}: {e}", page.display()))
                .hint("open that file in a browser by hand; it needs no server")
        })?;
    }
    Ok(Exit::Done)
}
