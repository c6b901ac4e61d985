//! What stands in the way of running a program, as its file says: a missing interpreter, line ends of Windows, another
//! architecture.

use flightdeck_model::Cause;
use flightdeck_platform::{BINARIES, BinaryFormat, runs_other_formats};
use object::Endianness;
use object::elf::{
    ELFCLASS32, EM_386, EM_AARCH64, EM_ARM, EM_PPC64, EM_RISCV, EM_S390, EM_X86_64, FileHeader32, FileHeader64, Machine,
};
use object::read::elf::{FileHeader, ProgramHeader as _};
use std::fs::File;
use std::io::{self, Read as _};
use std::os::unix::fs::PermissionsExt as _;
use std::path::Path;

/// So much of a file is looked at: the header of a binary, the first line of a script.
pub const HEAD: usize = 64 << 10;

/// Is there a file that can be run?
pub fn is_program(path: &Path) -> bool {
    path.metadata().is_ok_and(|file| file.is_file() && file.permissions().mode() & 0o111 != 0)
}

/// Where a program of this plain name is in the folders of `PATH`; a path is looked for nowhere else.
pub fn installed(program: &str, search: &str) -> Option<String> {
    let plain = !program.is_empty() && !program.contains('/');
    let at = |folder: &str| Path::new(folder).join(program);
    let found =
        search.split(':').filter(|folder| plain && folder.starts_with('/')).map(at).find(|path| is_program(path));
    found.map(|path| path.display().to_string())
}

/// The first bytes of a file.
pub fn head(path: &Path) -> io::Result<Vec<u8>> {
    let mut head = Vec::new();
    File::open(path)?.take(HEAD as u64).read_to_end(&mut head)?;
    Ok(head)
}

/// Why the kernel would not run a file with this beginning; `None`: nothing speaks against it. `program` is what
/// people call it, `runs` says whether a path can be run, `search` are the folders of `PATH`.
pub fn obstacle(program: &str, head: &[u8], runs: impl Fn(&Path) -> bool, search: &str) -> Option<Cause> {
    let program = program.to_owned();
    let missing = |interpreter: &str| Cause::MissingInterpreter {
        program: program.clone(),
        interpreter: flightdeck_model::sanitize_line(interpreter),
    };
    if let Some(line) = head.strip_prefix(b"#!") {
        let line = line.split(|byte| *byte == b'\n').next().unwrap_or_default();
        if line.ends_with(b"\r") {
            return Some(Cause::CarriageReturn { program });
        }
        let line = String::from_utf8_lossy(line).into_owned();
        let mut words = line.split_ascii_whitespace();
        let interpreter = words.next().unwrap_or_default();
        if !runs(Path::new(interpreter)) {
            return Some(missing(interpreter));
        }
        // `env -S` and variables before the name are left to env itself.
        let of_env = interpreter.ends_with("/env").then(|| words.next()).flatten();
        let named = of_env.filter(|name| !name.starts_with('-') && !name.contains(['=', '/']));
        let found = |name: &str| search.split(':').any(|folder| runs(&Path::new(folder).join(name)));
        return named.filter(|name| !found(name)).map(missing);
    }
    let architecture = |built_for: &str| Cause::WrongArchitecture {
        program: program.clone(),
        built_for: built_for.to_owned(),
        here: here().to_owned(),
    };
    match (head, BINARIES) {
        ([0x7f, b'E', b'L', b'F', class, ..], BinaryFormat::Elf) => {
            let (machine, loader) = if *class == ELFCLASS32.0 {
                binary::<FileHeader32<Endianness>>(head)?
            } else {
                binary::<FileHeader64<Endianness>>(head)?
            };
            if !runs_here(machine) && !runs_other_formats() {
                return Some(architecture(name_of(machine)));
            }
            loader.filter(|loader| !runs(Path::new(loader))).map(|loader| missing(&loader))
        }
        ([0x7f, b'E', b'L', b'F', ..], BinaryFormat::MachO) => Some(architecture("Linux")),
        ([0xcf | 0xce, 0xfa, 0xed, 0xfe, ..] | [0xca, 0xfe, 0xba, 0xbe, ..], format) => {
            (format != BinaryFormat::MachO).then(|| architecture("macOS"))
        }
        ([b'M', b'Z', ..], _) if !runs_other_formats() => Some(architecture("Windows")),
        _ if runs_other_formats() => None,
        _ => Some(Cause::NoProgram { program }),
    }
}

/// What a binary is for, and the loader that it asks for.
fn binary<H: FileHeader<Endian = Endianness>>(head: &[u8]) -> Option<(Machine, Option<String>)> {
    let header = H::parse(head).ok()?;
    let endian = header.endian().ok()?;
    let machine = header.e_machine(endian);
    let segments = header.program_headers(endian, head).unwrap_or_default();
    let loader = segments.iter().find_map(|segment| segment.interpreter(endian, head).ok().flatten());
    Some((machine, loader.map(|loader| String::from_utf8_lossy(loader).into_owned())))
}

/// The kernel may run more by itself than its own: 32-bit programs beside 64-bit ones.
fn runs_here(machine: Machine) -> bool {
    match std::env::consts::ARCH {
        "x86_64" => matches!(machine, EM_X86_64 | EM_386),
        "aarch64" => matches!(machine, EM_AARCH64 | EM_ARM),
        "riscv64" => machine == EM_RISCV,
        "powerpc64" => machine == EM_PPC64,
        "s390x" => machine == EM_S390,
        // Of others nothing is claimed.
        _ => true,
    }
}

const fn name_of(machine: Machine) -> &'static str {
    match machine {
        EM_X86_64 => "x86-64",
        EM_386 => "x86 (32 bit)",
        EM_AARCH64 => "arm64",
        EM_ARM => "arm (32 bit)",
        EM_RISCV => "riscv64",
        EM_PPC64 => "ppc64",
        EM_S390 => "s390x",
        _ => "another architecture",
    }
}

fn here() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "x86-64",
        "aarch64" => "arm64",
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A binary's first bytes: 64 bit, little endian, without program headers.
    fn elf(machine: Machine) -> Vec<u8> {
        let mut head = vec![0; 64];
        head[..7].copy_from_slice(&[0x7f, b'E', b'L', b'F', 2, 1, 1]);
        head[18..20].copy_from_slice(&machine.0.to_le_bytes());
        head[52..54].copy_from_slice(&64_u16.to_le_bytes());
        head
    }

    #[test]
    fn what_stands_in_the_way_is_told_by_the_first_bytes() {
        let there = ["/bin/sh", "/usr/bin/env", "/opt/bin/python3", "venv/bin/python"];
        let obstacle = |head: &[u8]| {
            let runs = |path: &Path| there.contains(&path.to_str().unwrap());
            obstacle("bin/app", head, runs, "/usr/bin:/opt/bin")
        };
        let app = || "bin/app".to_owned();
        let missing =
            |interpreter: &str| Some(Cause::MissingInterpreter { program: app(), interpreter: interpreter.to_owned() });
        for (head, expected) in [
            (&b"#!/bin/sh\nexit 0\n"[..], None),
            (b"#! /bin/sh -e\n", None),
            (b"#!venv/bin/python\n", None),
            (b"#!/usr/bin/env python3\n", None),
            (b"#!/usr/bin/env -S python3 -u\n", None),
            (b"#!/usr/bin/env ruby\n", missing("ruby")),
            (b"#!/opt/venv/bin/python\n", missing("/opt/venv/bin/python")),
            (b"#!/bin/sh\r\nexit 0\r\n", Some(Cause::CarriageReturn { program: app() })),
            (b"echo hello\n", Some(Cause::NoProgram { program: app() })),
            (b"", Some(Cause::NoProgram { program: app() })),
        ] {
            assert_eq!(obstacle(head), expected, "{}", String::from_utf8_lossy(head));
        }
        let foreign = if cfg!(target_arch = "aarch64") { EM_X86_64 } else { EM_AARCH64 };
        for (head, built_for) in [
            (elf(foreign), name_of(foreign)),
            (vec![0xcf, 0xfa, 0xed, 0xfe, 0, 0], "macOS"),
            (b"MZ\x90".to_vec(), "Windows"),
        ] {
            let found = obstacle(&head);
            assert!(
                matches!(&found, Some(Cause::WrongArchitecture { built_for: of, .. }) if of == built_for),
                "{found:?}"
            );
        }
    }

    #[test]
    fn this_very_program_runs_here_and_its_loader_is_found() {
        let head = head(&std::env::current_exe().unwrap()).unwrap();
        assert_eq!(obstacle("x", &head, is_program, ""), None);
        let (_, loader) = binary::<FileHeader64<Endianness>>(&head).unwrap();
        let loader = loader.unwrap();
        let without = obstacle("x", &head, |_| false, "");
        assert_eq!(without, Some(Cause::MissingInterpreter { program: "x".into(), interpreter: loader }));
    }
}
