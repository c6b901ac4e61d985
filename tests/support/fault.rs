//! What goes wrong with the answers of a system that a test plays.

use serde_json::json;
use std::time::Duration;

#[derive(Debug, Clone)]
pub enum Fault {
    /// This instead, and nothing is done.
    Instead(u16, Vec<(&'static str, String)>, String),
    /// It is done, and the connection is cut without a word.
    Cut,
    /// It is not done, and the connection is cut without a word.
    Drop,
    /// It comes so much later.
    Late(Duration),
    Truncated,
}

impl Fault {
    pub fn status(status: u16, message: &str) -> Fault {
        Fault::Instead(status, Vec::new(), json!({ "message": message }).to_string())
    }

    /// A page for a browser.
    pub fn page(status: u16, headers: &[(&'static str, &str)]) -> Fault {
        let mut all = vec![("content-type", "text/html".to_owned())];
        all.extend(headers.iter().map(|(name, value)| (*name, (*value).to_owned())));
        Fault::Instead(status, all, "<html>Sign in</html>".into())
    }
}

/// What begins with method and path so, is answered so; the number counts down, none is for ever.
#[derive(Default)]
pub struct Faults(pub Vec<(String, Fault, Option<u32>)>);

impl Faults {
    pub fn always(&mut self, what: &str, fault: Fault) {
        self.0.push((what.into(), fault, None));
    }

    pub fn times(&mut self, what: &str, fault: Fault, times: u32) {
        self.0.push((what.into(), fault, Some(times)));
    }

    pub fn once(&mut self, what: &str, fault: Fault) {
        self.times(what, fault, 1);
    }

    pub fn take(&mut self, what: &str) -> Option<Fault> {
        let found = self.0.iter().position(|(begin, ..)| what.starts_with(begin.as_str()))?;
        let (_, fault, left) = &mut self.0[found];
        let fault = fault.clone();
        if let Some(left) = left {
            *left -= 1;
            if *left == 0 {
                self.0.remove(found);
            }
        }
        Some(fault)
    }
}
