//! Removes all exports of a Wasm module but those named: `keep_exports IN OUT NAME…`. A name the module lacks is an error, so
//! that a change of the SDK is noticed.
//!
//! A build step of `filter/build.sh`, written here because it is small and no tool for it is a package everywhere.

use std::{collections::BTreeSet, env, error::Error, fs};

/// Sections of a module start after the magic number and the version.
const HEADER: usize = 8;

/// Number of the export section (WebAssembly core specification, 5.5.2).
const EXPORTS: u8 = 7;

fn main() -> Result<(), Box<dyn Error>> {
    let mut arguments = env::args().skip(1);
    let (input, output) = arguments
        .next()
        .zip(arguments.next())
        .ok_or("usage: keep_exports IN OUT NAME…")?;
    let names: BTreeSet<String> = arguments.collect();
    let module = fs::read(&input)?;
    fs::write(output, keep(&module, &names).map_err(|why| format!("{input}: {why}"))?)?;
    Ok(())
}

fn keep(module: &[u8], names: &BTreeSet<String>) -> Result<Vec<u8>, String> {
    let (header, mut rest) = module.split_at_checked(HEADER).ok_or("not a module")?;
    if !header.starts_with(b"\0asm") {
        return Err("not a module".to_owned());
    }
    let mut out = header.to_vec();
    let mut missing = names.clone();
    while let Some((&id, after)) = rest.split_first() {
        rest = after;
        let length = number(&mut rest)?;
        let (section, after) = rest.split_at_checked(length).ok_or("a section is cut off")?;
        rest = after;
        let kept = if id == EXPORTS {
            exports(section, names, &mut missing)?
        } else {
            section.to_vec()
        };
        out.push(id);
        put(&mut out, kept.len());
        out.extend(kept);
    }
    if missing.is_empty() {
        Ok(out)
    } else {
        Err(format!("lacks the exports {missing:?}"))
    }
}

fn exports(mut section: &[u8], names: &BTreeSet<String>, missing: &mut BTreeSet<String>) -> Result<Vec<u8>, String> {
    let mut kept: Vec<u8> = Vec::new();
    let mut count = 0;
    for _ in 0..number(&mut section)? {
        let entry = section;
        let length = number(&mut section)?;
        let (name, after) = section.split_at_checked(length).ok_or("an export is cut off")?;
        let name = String::from_utf8_lossy(name).into_owned();
        // One byte says what is exported, a number which one.
        section = after.get(1..).ok_or("an export is cut off")?;
        number(&mut section)?;
        if names.contains(&name) {
            missing.remove(&name);
            count += 1;
            kept.extend(&entry[..entry.len() - section.len()]);
        }
    }
    let mut out = Vec::new();
    put(&mut out, count);
    out.extend(kept);
    Ok(out)
}

/// Reads an unsigned LEB128 number.
fn number(bytes: &mut &[u8]) -> Result<usize, String> {
    let mut value = 0_usize;
    for shift in (0..35).step_by(7) {
        let (&byte, after) = bytes.split_first().ok_or("a number is cut off")?;
        *bytes = after;
        value |= usize::from(byte & 0x7f) << shift;
        if byte < 0x80 {
            return Ok(value);
        }
    }
    Err("a number is too long".to_owned())
}

fn put(out: &mut Vec<u8>, mut value: usize) {
    while value >= 0x80 {
        out.push((value & 0x7f) as u8 | 0x80);
        value >>= 7;
    }
    out.push(value as u8);
}
