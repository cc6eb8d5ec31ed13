// SPDX-License-Identifier: MIT OR Apache-2.0
//! What `--json` prints, held to docs/schemas: every field that the schema wants is there, and
//! every field that is there is in the schema.

use std::io::Write;
use std::process::{Command, Stdio};

use ashmem_core::abi;
use ashmem_trace::clock::TraceClock;
use ashmem_trace::container::Container;
use ashmem_trace::event::{CallOutcome, Event, EventProcess, EventRegion, Source};
use ashmem_trace::json::{JsonLine, Lost};
use ashmem_trace::operation::{Operation, PinRange};
use ashmem_trace::text::Text;
use jsonschema::Validator;
use serde_json::{Value, json};

const ASHMEM: &str = env!("CARGO_BIN_EXE_ashmem");
/// The variable by which this program knows that it is the one to be traced.
const CLIENT: &str = "ASHMEM_JSON_CLIENT";

/// A schema as a reader takes it, which allows fields it does not know, and as this test does,
/// which allows none.
struct Schema {
    name: &'static str,
    reader: Validator,
    strict: Validator,
}

impl Schema {
    fn read(name: &'static str) -> Self {
        let path = format!("{}/../../docs/schemas/{name}.json", env!("CARGO_MANIFEST_DIR"));
        let text = std::fs::read_to_string(&path).unwrap_or_else(|error| panic!("{path}: {error}"));
        let mut schema: Value =
            serde_json::from_str(&text).unwrap_or_else(|error| panic!("{path}: {error}"));
        jsonschema::meta::validate(&schema)
            .unwrap_or_else(|error| panic!("{path} is no schema: {error}"));
        let reader = jsonschema::validator_for(&schema).expect("a schema");
        close(&mut schema);
        let strict = jsonschema::validator_for(&schema).expect("a schema");
        Self { name, reader, strict }
    }

    #[track_caller]
    fn hold(&self, value: &Value) {
        let wrong: Vec<_> = self.strict.iter_errors(value).map(|error| error.to_string()).collect();
        assert!(wrong.is_empty(), "docs/schemas/{}.json: {wrong:#?}\n{value:#}", self.name);
        let mut newer = value.clone();
        newer["field of a later version"] = json!(true);
        assert!(
            self.reader.is_valid(&newer),
            "a reader refuses a later version's field: {}",
            self.name
        );
    }
}

/// Objects of which the schema names the fields may have no other. The `if` and `then` of a schema
/// name only some.
fn close(schema: &mut Value) {
    match schema {
        Value::Object(map) => {
            // A trace's line is one of several objects, each of them closed.
            let is_line = map.contains_key("$schema") && map.contains_key("allOf");
            if map.contains_key("properties")
                && map.get("type") == Some(&json!("object"))
                && !is_line
            {
                map.insert("additionalProperties".to_owned(), json!(false));
            }
            map.iter_mut()
                .filter(|(key, _)| !["if", "required"].contains(&key.as_str()))
                .for_each(|(_, to)| close(to));
        }
        Value::Array(list) => list.iter_mut().for_each(close),
        _ => {}
    }
}

fn ashmem(words: &[&str]) -> Command {
    let mut command = Command::new(ASHMEM);
    command.args(words).stdin(Stdio::null());
    command
}

/// What it prints, value after value, whatever its exit status.
fn values(command: &mut Command) -> Vec<Value> {
    let output = command.output().expect("it starts");
    let values = serde_json::Deserializer::from_slice(&output.stdout)
        .into_iter()
        .collect::<Result<Vec<Value>, _>>();
    values.unwrap_or_else(|error| panic!("{error}: {}", String::from_utf8_lossy(&output.stderr)))
}

/// This program, that test of it alone, as a client of the device.
fn client(before: &[&str]) -> Command {
    let own = std::env::current_exe().expect("its path");
    let mut command = ashmem(before);
    command
        .arg(own)
        .args(["--exact", "uses_the_device_where_it_is_asked_to", "--nocapture"])
        .env(CLIENT, "1");
    command
}

#[test]
fn uses_the_device_where_it_is_asked_to() {
    if std::env::var_os(CLIENT).is_none() {
        return;
    }
    // SAFETY: constant strings, and buffers as long as each request says.
    unsafe {
        let fd = libc::open(c"/dev/ashmem".as_ptr(), libc::O_RDWR);
        assert!(fd >= 0, "open: {}", std::io::Error::last_os_error());
        let (name, pages) = ([b'n'; abi::NAME_LEN], [0_u32, 4096]);
        libc::ioctl(fd, abi::SET_NAME.into(), name.as_ptr());
        libc::ioctl(fd, abi::SET_SIZE.into(), 8192_usize);
        let memory =
            libc::mmap(std::ptr::null_mut(), 8192, libc::PROT_READ, libc::MAP_SHARED, fd, 0);
        assert!(memory != libc::MAP_FAILED, "mmap: {}", std::io::Error::last_os_error());
        for request in [abi::UNPIN, abi::GET_PIN_STATUS, abi::PIN] {
            libc::ioctl(fd, request.into(), pages.as_ptr());
        }
        libc::ioctl(fd, abi::PURGE_ALL_CACHES.into(), 0);
        // Too late: EINVAL.
        libc::ioctl(fd, abi::SET_SIZE.into(), 4096_usize);
    }
    let status = Command::new(ASHMEM).args(["list", "--json"]).status().expect("ashmem starts");
    assert!(status.success());
}

#[test]
fn list_prints_what_its_schema_says() {
    let schema = Schema::read("list");
    // SAFETY: a constant string.
    let fd = unsafe { libc::memfd_create(c"json-list\n".as_ptr(), 0) };
    assert!(fd >= 0, "memfd_create");
    let [document] = values(&mut ashmem(&["list", "--json"])).try_into().expect("one document");
    schema.hold(&document);
    let regions = document["regions"].as_array().expect("a list");
    let mut region = regions
        .iter()
        .find(|region| region["name"] == "json-list\\n")
        .expect("its own region")
        .clone();
    // What this host has no example of.
    let container =
        Container { runtime: "podman", id: "c0ffee".to_owned(), pod: Some("uid".to_owned()) };
    region["holders"][0]["process"]["container"] =
        serde_json::to_value(container).expect("plain data");
    let mut document = document.clone();
    document["regions"] = json!([region]);
    schema.hold(&document);
    let [watched] = values(&mut ashmem(&["list", "--json", "--leaks", "--for", "0.1"]))
        .try_into()
        .expect("one document");
    schema.hold(&watched);
    assert!(watched["leaks"][0]["growth"]["seconds"].is_f64(), "{watched:#}");
}

#[test]
fn a_comparison_prints_what_its_schema_says() {
    let folder = tempfile::tempdir().expect("a folder");
    let moment = |name: &str| {
        let output = ashmem(&["list", "--json"]).output().expect("it starts");
        let path = folder.path().join(name);
        std::fs::write(&path, output.stdout).expect("a file");
        path.to_string_lossy().into_owned()
    };
    let before = moment("before");
    // SAFETY: a constant string.
    let fd = unsafe { libc::memfd_create(c"json-grown".as_ptr(), 0) };
    assert!(fd >= 0, "memfd_create");
    let after = moment("after");
    let [document] = values(&mut ashmem(&["report", "--compare", &before, &after, "--json"]))
        .try_into()
        .expect("one document");
    Schema::read("report-compare").hold(&document);
    let grown = document["patterns"].as_array().expect("patterns");
    assert!(grown.iter().any(|row| row["totals"]["name"] == "json-grown"), "{document:#}");
}

#[test]
fn a_regions_rights_and_mappings_are_in_the_schema() {
    let mut run = client(&["run", "--"]);
    let output = run.output().expect("it starts");
    let text = String::from_utf8_lossy(&output.stdout);
    // The test harness prints around it.
    let begin = text
        .find("{\n")
        .unwrap_or_else(|| panic!("{text}{}", String::from_utf8_lossy(&output.stderr)));
    let mut values = serde_json::Deserializer::from_str(&text[begin..]).into_iter::<Value>();
    let document = values.next().expect("a document").expect("JSON");
    Schema::read("list").hold(&document);
    let regions = document["regions"].as_array().expect("a list");
    assert!(
        regions.iter().any(|region| region["kind"] == "agent" && region["mappers"] == 1),
        "{document:#}"
    );
}

#[test]
fn doctor_prints_what_its_schemas_say() {
    for mode in ["auto", "run"] {
        let [report] = values(&mut ashmem(&["doctor", "--json", "--mode", mode]))
            .try_into()
            .expect("one object");
        Schema::read("doctor").hold(&report);
    }
    let android = std::env::temp_dir().join(format!("ashmem-android-{}", std::process::id()));
    let put = |path: &str, text: &[u8]| {
        let path = android.join(path);
        std::fs::create_dir_all(path.parent().expect("a folder above")).expect("folders");
        std::fs::write(path, text).expect("a file");
    };
    put("system/build.prop", b"ro.build.version.release=13\nro.build.version.sdk=33\n");
    // Any file for a processor will do.
    put("system/lib64/libcutils.so", &std::fs::read("/bin/sh").expect("a program"));
    put("system/etc/init/x.rc", b"on boot\n    setprop sys.use_memfd true\n");
    put("system/etc/seccomp_policy/mediacodec.policy", b"memfd_create: 1\n");
    let path = android.to_str().expect("a name");
    let [image] =
        values(&mut ashmem(&["doctor", "--json", "--image", path])).try_into().expect("one object");
    std::fs::remove_dir_all(&android).expect("it goes");
    Schema::read("doctor-image").hold(&image);
    assert_eq!(
        (&image["android"], &image["use_memfd"][0]["value"]),
        (&json!("13"), &json!("true"))
    );
    let mut explain = ashmem(&["doctor", "explain", "--json"])
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn();
    let explain = explain.as_mut().expect("it starts");
    let log = b"Module ashmem_linux not found\nashmem: frobnication error\nusb 1-1: new device\n\
        ashmem_linux: loading out-of-tree module taints kernel.\n";
    explain.stdin.take().expect("a pipe").write_all(log).expect("it reads");
    let printed = std::io::read_to_string(explain.stdout.take().expect("a pipe")).expect("text");
    explain.wait().expect("it ends");
    let explanation = serde_json::from_str(&printed).expect("JSON");
    Schema::read("doctor-explain").hold(&explanation);
    assert_eq!(
        (&explanation["unrecognised"], &explanation["explained"][0]["count"]),
        (&json!(2), &json!(1))
    );
}

#[test]
fn module_status_prints_what_its_schema_says() {
    let schema = Schema::read("module-status");
    let root = std::env::temp_dir().join(format!("ashmem-module-{}", std::process::id()));
    let kernel = root.join("lib/modules/6.1.0-53-amd64");
    std::fs::create_dir_all(kernel.join("updates")).expect("folders");
    std::fs::write(kernel.join("modules.builtin"), "").expect("a file");
    std::fs::write(kernel.join("updates/ashmem_linux.ko"), "no module").expect("a file");
    let path = root.to_str().expect("a name");
    let mut command = ashmem(&["module", "status", "--json", "--root", path]);
    let status = command.output().expect("it starts").status;
    let [state] = values(&mut command).try_into().expect("one object");
    std::fs::remove_dir_all(&root).expect("it goes");
    schema.hold(&state);
    assert_eq!((&state["kernels"][0]["module"], status.code()), (&json!("damaged"), Some(1)));
    let missing = ashmem(&["module", "status", "--root", path]).output().expect("it starts");
    assert_eq!(missing.status.code(), Some(2));
    let [state] = values(&mut ashmem(&["module", "status", "--json"])).try_into().expect("one");
    schema.hold(&state);
}

#[test]
fn waydroid_status_prints_what_its_schema_says() {
    let schema = Schema::read("waydroid-status");
    let [status] =
        values(&mut ashmem(&["waydroid", "status", "--json"])).try_into().expect("one object");
    schema.hold(&status);
    let provider = Some(ashmem_waydroid::provider::Provider::Agent);
    let container = ashmem_waydroid::waydroid::WaydroidContainer {
        pid: 7,
        short_name: true,
        long_name: false,
        provider,
    };
    let mut status = status;
    status["container"] = serde_json::to_value(container).expect("plain data");
    schema.hold(&status);
}

#[test]
fn trace_prints_what_its_schema_says() {
    let schema = Schema::read("trace");
    let folder = tempfile::tempdir().expect("a folder");
    for (form, kinds) in [
        (["--json"].as_slice(), ["start", "event", "end"].as_slice()),
        (&["--json", "--growth"], &["start", "growth", "end"]),
        (&["--json", "-c"], &["summary"]),
    ] {
        let path = folder.path().join("trace.json");
        let words =
            [&["trace", "--source", "agent", "-o", path.to_str().expect("text")], form, &["--"]]
                .concat();
        let ended = client(&words).output().expect("it starts");
        assert!(ended.status.success(), "{}", String::from_utf8_lossy(&ended.stderr));
        let text = std::fs::read_to_string(&path).expect("a trace");
        let lines: Vec<Value> =
            text.lines().map(|line| serde_json::from_str(line).expect("JSON")).collect();
        lines.iter().for_each(|line| schema.hold(line));
        for kind in kinds {
            assert!(lines.iter().any(|line| line["type"] == *kind), "no line `{kind}` in\n{text}");
        }
    }
}

#[test]
fn every_operation_is_in_the_schema() {
    let schema = Schema::read("trace");
    let name = || Some(Text::from(b"a"));
    let range = PinRange::new(0, 4096);
    let operations = [
        Operation::Open {},
        Operation::Release {},
        Operation::SetName { name: name() },
        Operation::SetName { name: None },
        Operation::GetName {},
        Operation::SetSize { bytes: 1 },
        Operation::GetSize {},
        Operation::SetProtMask { mask: 1 },
        Operation::GetProtMask {},
        Operation::Pin(range),
        Operation::Unpin(PinRange::UNKNOWN),
        Operation::GetPinStatus(range),
        Operation::PurgeAllCaches {},
        Operation::GetFileId {},
        Operation::Ioctl { command: 0x770c },
        Operation::Mmap { address: 0, len: 4096, prot: 3, shared: true, offset: 0 },
        Operation::Munmap { address: 4096, len: 4096 },
        Operation::Purge { offset: 0, len: 4096 },
        Operation::MemfdCreate { name: name() },
        Operation::Ftruncate { bytes: 1 },
        Operation::AddSeals { seals: 1 },
        Operation::Close { fd: 3 },
    ];
    let region = || EventRegion {
        id: 3,
        inode: Some(1234),
        name: name(),
        size: Some(65536),
        made_in_trace: Some(true),
    };
    let process = EventProcess {
        pid: 812,
        tid: 813,
        container_pid: Some(12),
        container: Some(Text::from(b"web")),
        command: Text::from(b"app"),
    };
    let hold = |line: JsonLine| schema.hold(&serde_json::to_value(line).expect("plain data"));
    for (place, operation) in operations.into_iter().enumerate() {
        let is_even = place % 2 == 0;
        let outcome = if is_even { CallOutcome::of_return(-22) } else { CallOutcome::UNSEEN };
        let (region, duration_ns) = (is_even.then(region), is_even.then_some(900));
        let (source, process) = (Source::Module, process.clone());
        let event = Event { mono_ns: 1, source, process, operation, region, outcome, duration_ns };
        hold(JsonLine::event(&TraceClock::now(), event));
    }
    for events in [None, Some(3)] {
        hold(JsonLine::Lost(Lost { mono_ns: 1, source: Source::Syscalls, events }));
    }
}
