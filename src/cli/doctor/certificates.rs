//! Certificates of services: in force, and for how long.

use super::{Check, fail, ok, warn};
use crate::model::{CertificateState, Service};
use jiff::{SignedDuration, Timestamp};

/// From then on one that ends is told.
const SOON: SignedDuration = SignedDuration::from_hours(14 * 24);

/// A line for each that is wrong or ends soon, else one for all; none where there is no certificate.
pub(super) fn check(services: &[&Service], now: Timestamp) -> Vec<Check> {
    let addresses = || services.iter().flat_map(|service| service.addresses.iter().map(move |of| (service, of)));
    let all: Vec<(String, &CertificateState)> = addresses()
        .flat_map(|(service, of)| {
            of.certificates.iter().map(move |state| (format!("{} in {}", service.name, of.environment), state))
        })
        .collect();
    let wrong: Vec<Check> = all.iter().filter_map(|(place, state)| one(place, state, now)).collect();
    match all.iter().map(|(_, state)| state.until).min() {
        Some(first) if wrong.is_empty() => {
            vec![ok("certificates", format!("{} in force, the first ends at {first:.0}", all.len()))]
        }
        _ => wrong,
    }
}

fn one(place: &str, state: &CertificateState, now: Timestamp) -> Option<Check> {
    const RENEW: &str = "put a new one in its place: it is taken over by itself";
    let (cert, until) = (state.cert.display(), state.until);
    if let Some(why) = &state.trouble {
        let what = format!("{place}: {why}; the one before stays in force until {until:.0}");
        return Some(fail("certificates", what, "mend the files: they are read again by themselves"));
    }
    if until <= now {
        return Some(fail("certificates", format!("{place}: {cert} has expired at {until:.0}"), RENEW));
    }
    (until.duration_since(now) <= SOON)
        .then(|| warn("certificates", format!("{place}: {cert} ends at {until:.0}"), RENEW))
}

#[cfg(test)]
mod tests {
    use super::super::Verdict;
    use super::*;
    use crate::model::{Listening, ServiceAddress};

    fn verdicts(days: &[(i64, Option<&str>)]) -> Vec<(Verdict, String)> {
        let now = Timestamp::UNIX_EPOCH;
        let state = |(days, trouble): &(i64, Option<&str>)| CertificateState {
            cert: "/etc/shop.pem".into(),
            until: now + SignedDuration::from_hours(days * 24),
            trouble: trouble.map(str::to_owned),
        };
        let address = ServiceAddress {
            environment: "production".into(),
            address: "0.0.0.0:443".into(),
            listening: Listening::Open,
            certificates: days.iter().map(state).collect(),
        };
        let service = Service {
            kind: None,
            source: "local".into(),
            name: "shop".into(),
            configuration: None,
            environments: Vec::new(),
            addresses: vec![address],
            places: Vec::new(),
        };
        check(&[&service], now).into_iter().map(|check| (check.verdict, check.what)).collect()
    }

    #[test]
    fn one_that_ends_soon_is_told_two_weeks_before() {
        assert_eq!(verdicts(&[]), []);
        assert_eq!(
            verdicts(&[(15, None), (90, None)]),
            [(Verdict::Ok, "2 in force, the first ends at 1970-01-16T00:00:00Z".into())]
        );
        let soon = verdicts(&[(14, None), (90, None)]);
        assert_eq!(soon, [(Verdict::Warn, "shop in production: /etc/shop.pem ends at 1970-01-15T00:00:00Z".into())]);
        assert_eq!(verdicts(&[(0, None)])[0].0, Verdict::Fail);
        let (verdict, what) = verdicts(&[(90, Some("the key is not that of the certificate"))]).remove(0);
        assert_eq!(verdict, Verdict::Fail);
        assert!(what.contains("the key is not that of the certificate; the one before stays in force"), "{what}");
    }
}
