// SPDX-License-Identifier: GPL-2.0 OR MIT

//! `scripts/claims`: parsing of sources and results, and its exit status.

use reflow_manual::root;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

// In the texts `@` stands for what the script looks for: it must not find it in this file.
const DEVICE: &str = "\
/// Not a test. @ 1.
fn helper() {}

#[cfg(test)]
mod tests {
    /// @ 1, 2.
    #[test]
    fn unit() {}
}
";
const INTEGRATION: &str = "\
proptest! {
    /// Some words.
    ///
    /// @ 2,
    /// 3.
    #[test]
    fn property(x in 0..3) {}
}
";
const CASES: &str = "\
BASE = (1, 2)


@case(claims=BASE + (3,), limit=5)
def bulk(rig):
    pass


@case(limit=5)
def proves_nothing(rig):
    pass
";
const RESULTS: &str = r#"{"name": "host.reflow_device.pm::tests::unit", "result": "pass"}
{"name": "host.story.property", "result": "pass"}
{"name": "vm.tcp.bulk", "result": "pass"}
"#;
const PAGE: &str = "\
=====  =====  =====
Claim  Words  Tests
=====  =====  =====
1      one    -
2      two    -
       words
3      three  -
=====  =====  =====

Other text.
";

/// A project in small, in a folder that goes away.
struct Project(PathBuf);

impl Project {
    fn new(name: &str) -> Self {
        let dir = std::env::temp_dir().join(format!("claims-{name}-{}", std::process::id()));
        let project = Self(dir);
        project.put(
            "hw-model/crates/device/Cargo.toml",
            "name = \"reflow-device\"\n",
        );
        project.put(
            "hw-model/crates/device/src/pm.rs",
            &DEVICE.replace('@', "Claims:"),
        );
        project.put(
            "hw-model/crates/device/tests/story.rs",
            &INTEGRATION.replace('@', "Claims:"),
        );
        project.put("tests/vm/cases/tcp.py", CASES);
        project.put("build/test-results.jsonl", RESULTS);
        project.put("Documentation/claims.rst", PAGE);
        project
    }

    fn put(&self, path: &str, text: &str) {
        let path = self.0.join(path);
        std::fs::create_dir_all(path.parent().unwrap()).unwrap();
        std::fs::write(path, text).unwrap();
    }

    fn run(&self, arguments: &[&str]) -> (String, Option<i32>) {
        let output = claims(&self.0, arguments);
        let text = String::from_utf8(output.stdout).unwrap();
        (text, output.status.code())
    }
}

impl Drop for Project {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

fn claims(root_of: &Path, arguments: &[&str]) -> Output {
    Command::new("python3")
        .arg(root().join("scripts/claims"))
        .arg("--root")
        .arg(root_of)
        .args(arguments)
        .output()
        .unwrap()
}

#[test]
fn finds_tests_and_their_results() {
    let (text, status) = Project::new("finds").run(&["1", "2", "3"]);
    assert_eq!(
        text,
        " 1  one
      device      pass     host.reflow_device.pm::tests::unit
      end to end  pass     vm.tcp.bulk
 2  two words
      device      pass     host.reflow_device.pm::tests::unit
      device      pass     host.story.property
      end to end  pass     vm.tcp.bulk
 3  three
      device      pass     host.story.property
      end to end  pass     vm.tcp.bulk
device: 3 of 3 proven
end to end: 3 of 3 proven
"
    );
    assert_eq!(status, Some(0));
}

#[test]
fn a_claim_without_a_test_is_not_proven() {
    let (text, status) = Project::new("without").run(&["3", "4"]);
    assert!(text.contains("      device      no test\n"), "{text}");
    assert!(text.contains("device: 1 of 2 proven, not: 4\n"), "{text}");
    assert_eq!(status, Some(1));
}

#[test]
fn a_failed_test_proves_nothing() {
    let project = Project::new("failed");
    let failed = RESULTS.replace(
        "\"host.story.property\", \"result\": \"pass\"",
        "\"host.story.property\", \"result\": \"fail\"",
    );
    project.put("build/test-results.jsonl", &failed);
    let (text, status) = project.run(&["-q", "1", "2"]);
    assert!(!text.contains(" 1  one"), "{text}");
    assert!(text.contains("FAIL     host.story.property"), "{text}");
    assert_eq!(status, Some(1));
}

#[test]
fn a_test_that_did_not_run_proves_nothing() {
    let project = Project::new("unrun");
    std::fs::remove_file(project.0.join("build/test-results.jsonl")).unwrap();
    let (text, status) = project.run(&["1"]);
    assert!(text.contains("not run  vm.tcp.bulk"), "{text}");
    assert!(text.contains("run `make test` first"), "{text}");
    assert_eq!(status, Some(1));
}

#[test]
fn the_page_gets_the_tests_and_keeps_its_text() {
    let project = Project::new("page");
    assert_eq!(project.run(&["--write"]).1, Some(0));
    let page = |project: &Project| {
        std::fs::read_to_string(project.0.join("Documentation/claims.rst")).unwrap()
    };
    let first = page(&project);
    assert!(first.contains("two words"), "{first}");
    assert!(
        first.contains("``host.story.property``; end to end:"),
        "{first}"
    );
    assert!(first.ends_with("\n\nOther text.\n"), "{first}");
    assert_eq!(project.run(&["--write"]).1, Some(0));
    assert_eq!(page(&project), first);
}

#[test]
fn an_old_page_is_reported() {
    let project = Project::new("old");
    assert_eq!(project.run(&["--check"]).1, Some(1));
    project.run(&["--write"]);
    assert_eq!(project.run(&["--check"]).1, Some(0));
}

#[test]
fn the_page_is_up_to_date() {
    let output = claims(&root(), &["--check"]);
    let said = String::from_utf8(output.stderr).unwrap();
    assert!(output.status.success(), "{said}");
}

/// Each claim has a test on the device's side and one end to end.
#[test]
fn no_claim_is_without_a_test() {
    let output = claims(&root(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    assert!(!text.contains("no test"), "{text}");
}

#[test]
fn every_claim_is_described() {
    let output = claims(&root(), &[]);
    let text = String::from_utf8(output.stdout).unwrap();
    let described = text
        .lines()
        .filter(|line| {
            line.split_once("  ").is_some_and(|(n, words)| {
                n.trim().parse::<u32>().is_ok() && !words.trim().is_empty()
            })
        })
        .count();
    assert_eq!(
        described, 62,
        "Documentation/claims.rst describes so many claims"
    );
    assert!(matches!(output.status.code(), Some(0 | 1)));
}
