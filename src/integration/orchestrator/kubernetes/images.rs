//! What templates run, and what people call it. Pure.
//!
//! A template may have several containers, a proxy before the service itself among them: a version is
//! that of the container that matters, and of what differs between the templates that run.

use super::objects::PodTemplate;
use flightdeck_model::{Version, sanitize_line};
use std::collections::BTreeSet;

/// The annotation of a template that names its main container.
const MAIN: &str = "kubectl.kubernetes.io/default-container";
/// Images beside the main one that are named; the others are counted.
const NAMED: usize = 2;

/// The image of one container.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Image {
    /// The container's name.
    container: String,
    /// As the template has it: `registry.test/pay:5.1`.
    reference: String,
    /// An init container's.
    init: bool,
}

/// The images of one template.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Images {
    /// Init containers last: they are never the main one.
    all: Vec<Image>,
    /// The container that people mean, where it can be told.
    main: Option<usize>,
}

impl Images {
    /// Those of a template of the workload of that name. The main container is the one that the template's
    /// annotation names, else the only one, else the one whose name or image is called like the workload.
    #[must_use]
    pub fn of(template: &PodTemplate, workload: &str) -> Images {
        let spec = &template.spec;
        let image = |init| {
            move |container: &super::objects::Container| Image {
                container: sanitize_line(&container.name),
                reference: sanitize_line(&container.image),
                init,
            }
        };
        let all: Vec<Image> = spec.containers.iter().map(image(false)).collect();
        let find = |is: &dyn Fn(&Image) -> bool| all.iter().position(is);
        let named = template.metadata.annotations.get(MAIN);
        let main = named
            .and_then(|name| find(&|image| image.container == *name))
            .or_else(|| (all.len() == 1).then_some(0))
            .or_else(|| find(&|image| image.container == workload))
            .or_else(|| find(&|image| base(&image.reference) == workload));
        let all = all.into_iter().chain(spec.init_containers.iter().map(image(true))).collect();
        Images { all, main }
    }

    /// What it is called by itself.
    #[must_use]
    pub fn version(&self) -> Version {
        versions(&[self]).pop().unwrap_or_else(unknown)
    }

    /// The digest that its main image is pinned to, where it is.
    #[must_use]
    pub fn digest(&self) -> Option<String> {
        let image = self.all.get(self.main.unwrap_or(0))?;
        image.reference.split_once('@').map(|(_, digest)| digest.to_owned())
    }

    fn reference(&self, container: &str) -> Option<&str> {
        self.all.iter().find(|image| image.container == container).map(|image| image.reference.as_str())
    }
}

/// Those of a template with one container, `app`.
#[cfg(test)]
#[must_use]
pub fn one(reference: &str) -> Images {
    Images { all: vec![Image { container: "app".into(), reference: reference.into(), init: false }], main: Some(0) }
}

/// What is not known.
#[must_use]
pub fn unknown() -> Version {
    Version("unknown".to_owned())
}

/// What several templates of one workload are called beside each other, in their order: each image that
/// differs shows. `5.0` and `5.1`; `5.1 assets:5.0` and `5.1 assets:5.1` where another container than the
/// main one changed; two digests where the tag stayed.
#[must_use]
pub fn versions(sides: &[&Images]) -> Vec<Version> {
    let main = sides.iter().rev().find_map(|side| Some(side.all.get(side.main?)?.container.as_str()));
    let changed = changed(sides);
    let shown: Vec<&str> = if main.is_none() && changed.is_empty() { apart(sides) } else { changed };
    let of_main = main.map(|main| words(sides, main));
    let others: Vec<(&str, Vec<Option<String>>)> =
        shown.into_iter().filter(|name| Some(*name) != main).map(|name| (name, words(sides, name))).collect();
    // A release of all parts at once has one version.
    let first = of_main.as_ref().or_else(|| others.first().filter(|_| others.len() > 1).map(|(_, words)| words));
    let alike = first.is_some_and(|first| others.iter().all(|(_, words)| words == first));
    let version = |side: usize| {
        let word = |words: &Vec<Option<String>>| words.get(side).cloned().flatten();
        let one = if alike { first } else { of_main.as_ref() };
        let mut parts: Vec<String> = one.into_iter().filter_map(word).collect();
        if !alike {
            let named = others.iter().filter_map(|(name, words)| Some(format!("{name}:{}", word(words)?)));
            let named: Vec<String> = named.collect();
            parts.extend(named.iter().take(NAMED).cloned());
            if named.len() > NAMED {
                parts.push(format!("+{}", named.len() - NAMED));
            }
        }
        if parts.is_empty() { unknown() } else { Version(parts.join(" ")) }
    };
    (0..sides.len()).map(version).collect()
}

/// The containers whose image is not the same on all sides, in the newest side's order.
fn changed<'a>(sides: &[&'a Images]) -> Vec<&'a str> {
    let mut seen = BTreeSet::new();
    let all = sides.iter().rev().flat_map(|side| &side.all).map(|image| image.container.as_str());
    let names = all.filter(|name| seen.insert(*name));
    names
        .filter(|name| {
            let mut references = sides.iter().map(|side| side.reference(name));
            let first = references.next();
            references.any(|reference| Some(reference) != first)
        })
        .collect()
}

/// The containers that tell what runs where none is the main one: one, if all have the same version.
fn apart<'a>(sides: &[&'a Images]) -> Vec<&'a str> {
    let Some(side) = sides.last() else { return Vec::new() };
    side.all.iter().filter(|image| !image.init).map(|image| image.container.as_str()).collect()
}

/// The words for one container's image on each side: the shortest that tell different ones apart.
fn words(sides: &[&Images], container: &str) -> Vec<Option<String>> {
    let references: Vec<Option<&str>> = sides.iter().map(|side| side.reference(container)).collect();
    let different: BTreeSet<&str> = references.iter().flatten().copied().collect();
    let ways: [fn(&str) -> String; 4] = [tag, tag_and_digest, name_and_tag, str::to_owned];
    let tells = |way: &fn(&str) -> String| {
        different.iter().map(|reference| way(reference)).collect::<BTreeSet<_>>().len() == different.len()
    };
    let way = ways.into_iter().find(tells).unwrap_or(str::to_owned);
    references.into_iter().map(|reference| reference.map(way)).collect()
}

/// The parts of a reference: name with its registry, tag, digest.
fn parts(reference: &str) -> (&str, Option<&str>, Option<&str>) {
    let (name, digest) = match reference.split_once('@') {
        Some((name, digest)) => (name, Some(digest)),
        None => (reference, None),
    };
    // A colon before the last slash belongs to a registry's port.
    let at = name.rfind('/').map_or(0, |slash| slash + 1);
    match name.get(at..).and_then(|base| base.split_once(':')) {
        Some((base, tag)) => {
            (name.get(..at + base.len()).unwrap_or(name), Some(tag).filter(|tag| !tag.is_empty()), digest)
        }
        None => (name, None, digest),
    }
}

/// An image's name without its registry: `pay`.
fn base(reference: &str) -> &str {
    let (name, ..) = parts(reference);
    name.rsplit('/').next().unwrap_or(name)
}

/// Its tag, else twelve characters of its digest.
fn tag(reference: &str) -> String {
    match parts(reference) {
        (_, Some(tag), _) => tag.to_owned(),
        (_, None, Some(digest)) => short(digest),
        _ if reference.trim().is_empty() => "unknown".to_owned(),
        _ => "latest".to_owned(),
    }
}

/// `5.0@0123456789ab`.
fn tag_and_digest(reference: &str) -> String {
    match parts(reference) {
        (_, Some(tag), Some(digest)) => {
            let short = short(digest);
            format!("{tag}@{}", short.rsplit(':').next().unwrap_or(&short))
        }
        _ => tag(reference),
    }
}

/// `pay:5.0`.
fn name_and_tag(reference: &str) -> String {
    format!("{}:{}", base(reference), tag_and_digest(reference))
}

fn short(digest: &str) -> String {
    let (algorithm, hex) = digest.split_once(':').unwrap_or(("", digest));
    let short: String = hex.chars().take(12).collect();
    if algorithm.is_empty() { short } else { format!("{algorithm}:{short}") }
}

/// What people call an image by itself: its tag, else twelve characters of its digest.
#[cfg(test)]
#[must_use]
pub fn version_of(image: &str) -> Version {
    Version(sanitize_line(&tag(image)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn template(containers: &[(&str, &str)], init: &[(&str, &str)]) -> PodTemplate {
        let list = |of: &[(&str, &str)]| -> Vec<Value> {
            of.iter().map(|(name, image)| json!({"name": name, "image": image})).collect()
        };
        serde_json::from_value(json!({"spec": {"containers": list(containers), "initContainers": list(init)}})).unwrap()
    }

    fn images(containers: &[(&str, &str)], init: &[(&str, &str)]) -> Images {
        Images::of(&template(containers, init), "pay")
    }

    fn told(sides: &[&Images]) -> Vec<String> {
        versions(sides).into_iter().map(|version| version.0).collect()
    }

    fn digest(digit: char) -> String {
        format!("sha256:{}", digit.to_string().repeat(64))
    }

    #[test]
    fn what_differs_shows_and_a_proxy_beside_it_does_not() {
        let of = |mesh: &str, pay: &str, assets: &str| {
            images(
                &[("mesh", &format!("r.test/mesh:{mesh}")), ("pay", &format!("r.test/pay:{pay}"))],
                &[("assets", &format!("r.test/assets:{assets}"))],
            )
        };
        let old = of("3.1", "5.0", "5.0");
        for (what, new, expected) in [
            ("nothing", of("3.1", "5.0", "5.0"), ["5.0", "5.0"]),
            ("the service", of("3.1", "5.1", "5.0"), ["5.0", "5.1"]),
            ("its proxy", of("3.2", "5.0", "5.0"), ["5.0 mesh:3.1", "5.0 mesh:3.2"]),
            ("an init container", of("3.1", "5.0", "5.1"), ["5.0 assets:5.0", "5.0 assets:5.1"]),
            ("both of one release", of("3.1", "5.1", "5.1"), ["5.0", "5.1"]),
            ("all", of("3.2", "5.1", "5.1"), ["5.0 mesh:3.1 assets:5.0", "5.1 mesh:3.2 assets:5.1"]),
        ] {
            assert_eq!(told(&[&old, &new]), expected, "{what}");
        }
        let third = of("3.1", "4.9", "5.0");
        assert_eq!(told(&[&old, &of("3.1", "5.1", "5.0"), &third]), ["5.0", "5.1", "4.9"]);
        let without = images(&[("pay", "r.test/pay:5.0")], &[]);
        assert_eq!(
            told(&[&without, &images(&[("mesh", "m:1"), ("pay", "r.test/pay:5.0")], &[])]),
            ["5.0", "5.0 mesh:1"]
        );
    }

    #[test]
    fn what_only_a_digest_or_a_registry_tells_apart_is_told_apart() {
        let one = |image: &str| images(&[("mesh", "m:1"), ("pay", image)], &[]);
        let (a, b) = (digest('a'), digest('b'));
        for (old, new, expected) in [
            (format!("r.test/pay@{a}"), format!("r.test/pay@{b}"), ["sha256:aaaaaaaaaaaa", "sha256:bbbbbbbbbbbb"]),
            (format!("pay:5.0@{a}"), format!("pay:5.0@{b}"), ["5.0@aaaaaaaaaaaa", "5.0@bbbbbbbbbbbb"]),
            (format!("pay:5.0@{a}"), format!("pay:5.1@{b}"), ["5.0", "5.1"]),
            ("pay:5.0".to_owned(), format!("pay:5.0@{b}"), ["5.0", "5.0@bbbbbbbbbbbb"]),
            ("r.test/pay:5.0".to_owned(), "r.test/pay-slim:5.0".to_owned(), ["pay:5.0", "pay-slim:5.0"]),
            ("a.test/pay:5.0".to_owned(), "b.test/pay:5.0".to_owned(), ["a.test/pay:5.0", "b.test/pay:5.0"]),
        ] {
            assert_eq!(told(&[&one(&old), &one(&new)]), expected);
        }
        assert_eq!(one(&format!("pay@{a}")).digest(), Some(a));
    }

    #[test]
    fn the_main_container_is_the_one_that_people_mean() {
        let version = |template: &PodTemplate| Images::of(template, "pay").version().0;
        assert_eq!(version(&template(&[("app", "x:1")], &[("init", "y:2")])), "1", "the only one");
        assert_eq!(version(&template(&[("mesh", "m:3"), ("pay", "x:1")], &[])), "1", "called like its workload");
        assert_eq!(version(&template(&[("mesh", "m:3"), ("app", "r:5000/pay:1")], &[])), "1", "by its image");
        let mut two = template(&[("mesh", "m:3"), ("app", "x:1")], &[]);
        assert_eq!(version(&two), "mesh:3 app:1", "nobody can tell");
        two.metadata.annotations.insert(MAIN.to_owned(), "app".to_owned());
        assert_eq!(version(&two), "1", "as its template says");
        assert_eq!(version(&template(&[("api", "x:7"), ("worker", "y:7")], &[])), "7", "one release of two parts");
        assert_eq!(version(&template(&[], &[])), "unknown");
        let many = [("a", "x:1"), ("b", "x:2"), ("c", "x:3"), ("d", "x:4")];
        assert_eq!(version(&template(&many, &[])), "a:1 b:2 +2");
    }
}
