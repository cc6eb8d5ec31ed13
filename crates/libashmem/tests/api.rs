// SPDX-License-Identifier: MIT OR Apache-2.0
//! What C programs see, held to lists: the functions of the headers to `api.txt`, their names to
//! `abi.txt`.

use std::fs;
use std::path::Path;

/// The variable with which the list is written instead of compared.
const WRITE: &str = "ASHMEM_WRITE_API";
const HEADERS: [&str; 2] = ["android/sharedmem.h", "cutils/ashmem.h"];

fn read(file: &str) -> String {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join(file);
    fs::read_to_string(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// A header's text without comments.
fn without_comments(header: &str) -> String {
    let mut text = String::new();
    let mut rest = header;
    while let Some((before, comment)) = rest.split_once("/*") {
        text.push_str(before);
        rest = comment.split_once("*/").expect("a comment ends").1;
    }
    text + rest
}

/// What a header declares and defines, a line each: `#define NAME VALUE`, `int function(int fd);`.
fn declared(header: &str) -> Vec<String> {
    let (mut lines, mut code) = (Vec::new(), String::new());
    for line in without_comments(header).lines() {
        match line.strip_prefix("#define ") {
            // The guard of the header has no value.
            Some(define) if define.contains(' ') => lines.push(format!("#define {define}")),
            None if !line.starts_with('#') => code.push_str(&format!("{line} ")),
            _ => {}
        }
    }
    let code = code.replace("extern \"C\" {", "").replace('}', "");
    let words = |statement: &str| statement.split_whitespace().collect::<Vec<_>>().join(" ");
    lines.extend(code.split(';').map(words).filter(|text| !text.is_empty()).map(|text| text + ";"));
    lines
}

#[test]
fn the_headers_declare_what_api_txt_says() {
    let mut now = "# What the headers declare; tests/api.rs holds them to it. A line never goes.\n"
        .to_owned();
    for header in HEADERS {
        now += &format!(
            "\n<{header}>\n{}\n",
            declared(&read(&format!("include/{header}"))).join("\n")
        );
    }
    if std::env::var_os(WRITE).is_some() {
        return fs::write(Path::new(env!("CARGO_MANIFEST_DIR")).join("api.txt"), now)
            .expect("writing api.txt");
    }
    assert_eq!(
        read("api.txt"),
        now,
        "if it shall be so: `{WRITE}=1 cargo test -p libashmem --test api`, and CHANGELOG.md"
    );
}

#[test]
fn each_declared_function_is_exported_and_no_other() {
    let abi = read("abi.txt");
    let given = abi.lines().filter_map(|line| line.strip_prefix("gives ")?.split_once("@@"));
    let mut exported: Vec<String> = given.map(|(name, _)| name.to_owned()).collect();
    exported.sort();
    let of_header = |header: &str| declared(&read(&format!("include/{header}")));
    let functions = HEADERS.into_iter().flat_map(of_header).filter_map(|line| {
        let name = line.strip_suffix(';')?.split_once('(')?.0.rsplit([' ', '*']).next()?.to_owned();
        Some(name)
    });
    let mut functions: Vec<String> = functions.collect();
    functions.sort();
    assert_eq!(functions, exported, "the headers, and what abi.txt says that libashmem.so.0 gives");
}
