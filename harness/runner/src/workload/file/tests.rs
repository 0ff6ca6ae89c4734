use rstest::rstest;

use super::*;

const SLEEPER: &str = r#"name = "sleeper"
summary = "sleeps"
binary = "sleeper"
command = ["/sleeper"]
[ready]
line = "ready"
"#;

const SECCOMP: &str = r#"{
    "defaultAction": "SCMP_ACT_ALLOW",
    "syscalls": [{ "names": ["mount"], "action": "SCMP_ACT_ERRNO" }]
}"#;

/// Reads a text as the file of a folder that has the programs `sleeper` and `client`.
fn read(text: &str) -> Result<Workload, String> {
    let folder = tempfile::tempdir().expect("a folder");
    for name in ["sleeper", "client"] {
        std::fs::write(folder.path().join(name), "").expect("a program");
    }
    std::fs::write(folder.path().join("seccomp.json"), SECCOMP).expect("a profile");
    std::fs::write(folder.path().join("policy"), "profile held {\n}\n").expect("a profile");
    std::fs::write(folder.path().join(FILE), text).expect("a file");
    load(folder.path(), Path::new("/nowhere"))
        .map_err(|error| error.to_string().replace(&format!("{}/", folder.path().display()), ""))
}

#[test]
fn the_shortest_file_is_a_workload_by_defaults() {
    let workload = read(SLEEPER).expect("right");
    assert_eq!(workload.main().ready, Ready::Line("ready".to_owned()));
    assert_eq!(workload.main().proof, Proof::None);
    assert_eq!(workload.main().criu, CriuOptions::default());
    let pod = workload.pod();
    assert_eq!(pod.containers[0].command, ["/sleeper"]);
    assert_eq!((pod.containers[0].uid, pod.containers[0].stdio), (0, Stdio::Pipe));
}

#[test]
fn everything_that_a_file_may_say_arrives_in_the_pod() {
    let text = r#"
        name = "full"
        summary = "says everything"
        packages = ["redis-server"]
        suite = "bookworm"
        files = { "/srv/redis.conf" = "client" }
        command = ["/usr/bin/redis-server"]
        env = { LANG = "C" }
        user = "100:101"
        memory_mib = 128
        mounts = { "/data" = { tmpfs = 16 } }
        rlimits = { nofile = [77, 88], core = 0, memlock = "unlimited" }
        masked = ["/proc/kcore"]
        stdio = "null"
        ready = { port = 6379 }
        check = ["/bin/true"]
        needs = { kernel = "6.1..", criu = "4.." }
        criu = { tcp-established = false }
        forensic = { search = ["a text"], regex = ["key-[0-9]+"] }
        [security]
        no_new_privs = true
        capabilities = ["CAP_CHOWN"]
        seccomp = "seccomp.json"
        apparmor = { profile = "held", file = "policy" }
        [client]
        binary = "client"
        before = ["fill", "{address}"]
        after = ["verify"]
    "#;
    let workload = read(text).expect("right");
    let suite = Some("bookworm".to_owned());
    let Root::Packages { suite: found, names, files } = &workload.main().root else {
        panic!("packages")
    };
    assert_eq!((found, names), (&suite, &vec!["redis-server".to_owned()]));
    assert!(files["/srv/redis.conf"].ends_with("client"));
    assert_eq!(workload.main().proof, Proof::Check(vec!["/bin/true".to_owned()]));
    assert!(workload.needs.kernel.as_ref().is_some_and(|kernels| !kernels.contain("5.10.2")));
    assert!(workload.client.is_some());
    assert_eq!(workload.forensic.texts, ["a text"]);
    assert_eq!(workload.forensic.regexes, ["key-[0-9]+"]);
    let container = &workload.pod().containers[0];
    assert_eq!((container.uid, container.gid, container.memory_mib), (100, 101, Some(128)));
    assert_eq!(container.rlimits["nofile"], (77, 88));
    assert_eq!(container.rlimits["memlock"], (u64::MAX, u64::MAX));
    assert_eq!(container.tmpfs["/data"], 16);
    let security = &container.security;
    let capabilities = security.capabilities.as_ref().expect("some");
    assert!(security.no_new_privs && security.seccomp.len() == 1);
    assert!(capabilities.bounding.contains("CAP_CHOWN") && capabilities.ambient.is_empty());
    assert_eq!(security.apparmor.as_deref(), Some("held"));
    assert!(workload.main().profile.as_ref().is_some_and(|path| path.ends_with("policy")));
    assert!(!container.criu.tcp_established && container.criu.file_locks);
}

const BESIDE: &str = r#"[[containers]]
name = "beside"
binary = "client"
command = ["/client"]
memory_mib = 32
ready = { line = "ready" }
self = true
"#;

#[test]
fn further_containers_have_the_same_keys_and_share_what_is_said() {
    let text = SLEEPER.replace("[ready]", "share = [\"net\", \"pid\"]\n[ready]") + BESIDE;
    let workload = read(&text).expect("right");
    let pod = workload.pod();
    assert_eq!(pod.share, [Namespace::Net, Namespace::Pid].into());
    let names: Vec<&str> = pod.containers.iter().map(|it| it.name.as_str()).collect();
    assert_eq!(names, ["main", "beside"]);
    assert_ne!(pod.containers[0].image, pod.containers[1].image);
    assert_eq!(pod.containers[1].memory_mib, Some(32));
    assert_eq!(workload.containers[1].proof, Proof::OnSigterm);
}

#[test]
fn without_a_shared_network_there_is_no_link() {
    let text = SLEEPER.replace("[ready]", "share = []\n[ready]");
    assert_eq!(read(&text).expect("right").pod().link, None);
}

#[rstest]
#[case::of_the_pod("self = true", "needs = {}", "workload.toml:7: `needs` is of the whole pod")]
#[case::name("\"beside\"", "\"main\"", "workload.toml:8: `name` is \"main\", as of another")]
#[case::missing("ready = { line = \"ready\" }", "", "missing field `ready`")]
#[case::program("\"client\"", "\"gone\"", "workload.toml:9: `binary`: there is no file gone")]
fn what_is_wrong_in_a_further_container_is_told(
    #[case] right: &str,
    #[case] wrong: &str,
    #[case] expected: &str,
) {
    let text = format!("{SLEEPER}{}", BESIDE.replace(right, wrong));
    let error = read(&text).expect_err("wrong");
    assert!(error.contains(expected), "{error}");
}

#[rstest]
#[case::user("user", "\"user\": CRIU cannot restore into a user namespace")]
#[case::unknown("mnt", "\"mnt\": share some of")]
fn what_cannot_be_shared_is_told(#[case] kind: &str, #[case] expected: &str) {
    let text = SLEEPER.replace("[ready]", &format!("share = [\"{kind}\"]\n[ready]"));
    let error = read(&text).expect_err("wrong");
    assert!(
        error.starts_with("workload.toml:5: `share` has") && error.contains(expected),
        "{error}"
    );
}

#[rstest]
#[case::typo("command =", "comand =", "workload.toml:4: unknown field `comand`")]
#[case::kind("summary = \"sleeps\"", "summary = 3", "workload.toml:2: invalid type: integer")]
#[case::name("\"sleeper\"\nsum", "\"sl/eper\"\nsum", "workload.toml:1: `name` is \"sl/eper\"")]
#[case::no_program(
    "binary = \"sleeper\"",
    "binary = \"slep\"",
    "workload.toml:3: `binary`: there is no"
)]
#[case::two("command", "rootfs = \"client\"\ncommand", "workload.toml:4: exactly one of `binary`")]
#[case::relative("[\"/sleeper\"]", "[\"sleeper\"]", "workload.toml:4: `command` must begin")]
#[case::ready("line =", "fil =", "workload.toml:6: unknown field `fil`, expected one of `line`")]
#[case::no_ready("line = \"ready\"", "", "workload.toml:5: `ready` wants exactly one")]
#[case::user("command", "user = \"redis\"\ncommand", "workload.toml:4: `user` is \"redis\"")]
#[case::syntax("summary = \"sleeps\"", "summary = ", "workload.toml:2: ")]
#[case::limit("command", "rlimits = { nofile = [9, 8] }\ncommand", "workload.toml:4: soft limit 9")]
#[case::criu("command", "criu = { tcp = true }\ncommand", "workload.toml:4: unknown field `tcp`")]
#[case::suite("command", "suite = \"sid\"\ncommand", "workload.toml:4: `suite` goes with")]
#[case::files_alone(
    "command",
    "files = { \"/a\" = \"client\" }\ncommand",
    "workload.toml:4: `files` goes with `packages`"
)]
#[case::no_file(
    "binary = \"sleeper\"",
    "packages = [\"a\"]\nfiles = { \"/a\" = \"b\" }",
    "workload.toml:4: `files`: there is no file b"
)]
#[case::no_place(
    "binary = \"sleeper\"",
    "packages = [\"a\"]\nfiles = { \"/a/../b\" = \"client\" }",
    "workload.toml:4: `files`: \"/a/../b\" is no absolute path"
)]
#[case::capability(
    "[ready]",
    "[security]\ncapabilities = [\"CAP_FLY\"]\n[ready]",
    "workload.toml:6: `capabilities`: bounding: there is no capability \"CAP_FLY\""
)]
#[case::ambient(
    "[ready]",
    "[security]\ncapabilities = { permitted = [\"CAP_KILL\"] }\n[ready]",
    "workload.toml:6: `capabilities`: CAP_KILL is permitted and not bounding"
)]
#[case::security(
    "[ready]",
    "[security]\nsecomp = \"a\"\n[ready]",
    "workload.toml:6: unknown field"
)]
#[case::no_filter(
    "[ready]",
    "[security]\nseccomp = \"a\"\n[ready]",
    "workload.toml:6: `security.seccomp`: there is no file a"
)]
#[case::filter(
    "[ready]",
    "[security]\nseccomp = \"client\"\n[ready]",
    "workload.toml:6: `security.seccomp`: client: EOF"
)]
#[case::profile(
    "[ready]",
    "[security]\napparmor = { profile = \"other\", file = \"policy\" }\n[ready]",
    "workload.toml:6: `security.apparmor`: policy defines no profile \"other\""
)]
#[case::root(
    "[ready]",
    "[security]\nuser_namespace = { uid = 0, gid = 1, count = 9 }\n[ready]",
    "workload.toml:6: `security.user_namespace` wants ids above 0"
)]
fn an_error_names_file_line_and_field(
    #[case] what: &str,
    #[case] instead: &str,
    #[case] message: &str,
) {
    let error = read(&SLEEPER.replacen(what, instead, 1)).expect_err("broken");
    assert!(error.starts_with(message), "{error}");
}

#[test]
fn what_cannot_be_done_yet_is_no_error_but_named() {
    let text = SLEEPER.replacen("[ready]", "stdio = \"pty\"\ndevices = [1]\n[ready]", 1);
    let not_yet = read(&text).expect("right").not_yet;
    assert_eq!(not_yet, ["`devices`", "a terminal (`stdio = \"pty\"`)"]);
}
