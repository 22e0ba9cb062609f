//! Image archives without a container engine: one layer with the named files and the shared libraries they need.
//!
//! The archive is an OCI image layout that also carries Docker's manifest.json, so `ctr images import`, `docker load`,
//! `podman load` and `skopeo copy oci-archive:` all take it. Equal inputs give equal bytes: no times, no owners.

use std::collections::BTreeMap;
use std::fs::{self, File};
use std::io::{self, Read, Seek, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::process::Command;

use anyhow::{Context, Result, ensure};
use serde_json::json;
use sha2::{Digest, Sha256};

use super::cache::Key;

/// What an image holds.
#[derive(Clone, Debug)]
pub struct Image {
    name: String,
    user: String,
    entrypoint: Vec<String>,
    env: Vec<String>,
    files: Vec<(PathBuf, String)>,
}

/// Folders that programs take for granted.
const FOLDERS: [&str; 9] = ["tmp", "etc", "proc", "sys", "dev", "run", "var", "var/run", "var/lib"];

impl Image {
    /// An empty image of that `NAME:TAG`.
    #[must_use]
    pub fn new(name: &str) -> Self {
        Self {
            name: name.to_owned(),
            user: String::new(),
            entrypoint: Vec::new(),
            env: vec!["PATH=/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin".to_owned()],
            files: Vec::new(),
        }
    }

    /// Adds a file, or a folder with all it holds, at a path inside the image.
    #[must_use]
    pub fn file(mut self, source: impl AsRef<Path>, destination: &str) -> Self {
        self.files.push((source.as_ref().to_owned(), destination.to_owned()));
        self
    }

    /// Sets the user (and group) the program runs as.
    #[must_use]
    pub fn user(mut self, user: &str) -> Self {
        user.clone_into(&mut self.user);
        self
    }

    /// Sets the program and its first arguments.
    #[must_use]
    pub fn entrypoint<S: Into<String>>(mut self, words: impl IntoIterator<Item = S>) -> Self {
        self.entrypoint = words.into_iter().map(Into::into).collect();
        self
    }

    /// Adds an environment variable, as `NAME=VALUE`.
    #[must_use]
    pub fn env(mut self, variable: &str) -> Self {
        self.env.push(variable.to_owned());
        self
    }

    /// The last part of the name, without registry and tag.
    #[must_use]
    pub fn short_name(&self) -> &str {
        let last = self.name.rsplit('/').next().unwrap_or(&self.name);
        last.split(':').next().unwrap_or(last)
    }

    /// Hash of everything that goes into the archive.
    pub(super) fn key(&self) -> Result<Key> {
        let mut inputs = vec![format!("{} {} {:?} {:?}", self.name, self.user, self.entrypoint, self.env).into_bytes()];
        for (destination, source) in self.contents()? {
            let about = fs::metadata(&source).with_context(|| format!("no file {}", source.display()))?;
            let changed = about
                .modified()?
                .duration_since(std::time::UNIX_EPOCH)
                .unwrap_or_default()
                .as_nanos();
            inputs.push(format!("{destination} {} {} {changed}", source.display(), about.len()).into_bytes());
        }
        Ok(Key::of(inputs))
    }

    /// Every file by its path in the image, folders walked, libraries added.
    fn contents(&self) -> Result<BTreeMap<String, PathBuf>> {
        let mut found = BTreeMap::new();
        for (source, destination) in &self.files {
            ensure!(
                destination.starts_with('/'),
                "the path {destination:?} inside the image must be absolute"
            );
            walk(source, destination, &mut found)?;
        }
        let programs: Vec<PathBuf> = found.values().cloned().collect();
        for program in programs {
            for library in libraries(&program)? {
                let real = fs::canonicalize(&library)
                    .with_context(|| format!("{} needs {library}, which is not there", program.display()))?;
                found.entry(library).or_insert(real);
            }
        }
        Ok(found)
    }

    /// Writes the archive.
    ///
    /// # Errors
    /// When a file cannot be read or the archive cannot be written.
    pub fn write(&self, out: &Path) -> Result<()> {
        ensure!(
            self.name.contains(':'),
            "the image name {:?} has no tag: write NAME:TAG",
            self.name
        );
        let mut layer = tempfile::tempfile_in(
            out.parent()
                .filter(|dir| !dir.as_os_str().is_empty())
                .unwrap_or(Path::new(".")),
        )?;
        let (digest, size) = write_layer(&self.contents()?, &mut layer)?;
        let config = serde_json::to_vec(&json!({
            "architecture": architecture(), "os": "linux", "rootfs": {"type": "layers", "diff_ids": [format!("sha256:{digest}")]},
            "config": {"Entrypoint": self.entrypoint, "User": self.user, "WorkingDir": "/", "Env": self.env},
        }))?;
        let config_digest = hex(&Sha256::digest(&config));
        let manifest = serde_json::to_vec(&json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.manifest.v1+json",
            "config": {"mediaType": "application/vnd.oci.image.config.v1+json", "digest": format!("sha256:{config_digest}"), "size": config.len()},
            "layers": [{"mediaType": "application/vnd.oci.image.layer.v1.tar", "digest": format!("sha256:{digest}"), "size": size}],
        }))?;
        let manifest_digest = hex(&Sha256::digest(&manifest));
        let index = serde_json::to_vec(&json!({
            "schemaVersion": 2, "mediaType": "application/vnd.oci.image.index.v1+json",
            "manifests": [{"mediaType": "application/vnd.oci.image.manifest.v1+json", "digest": format!("sha256:{manifest_digest}"), "size": manifest.len(),
                "annotations": {"io.containerd.image.name": self.name, "org.opencontainers.image.ref.name": self.name.rsplit(':').next()}}],
        }))?;
        let docker = serde_json::to_vec(
            &json!([{"Config": format!("blobs/sha256/{config_digest}"), "RepoTags": [self.name], "Layers": [format!("blobs/sha256/{digest}")]}]),
        )?;
        let file = File::create(out).with_context(|| format!("cannot write {}", out.display()))?;
        let mut tar = tar::Builder::new(io::BufWriter::new(file));
        let mut add =
            |path: &str, mut data: &[u8]| tar.append_data(&mut header(0o644, data.len() as u64), path, &mut data);
        add("oci-layout", br#"{"imageLayoutVersion":"1.0.0"}"#)?;
        add("index.json", &index)?;
        add("manifest.json", &docker)?;
        add(&format!("blobs/sha256/{config_digest}"), &config)?;
        add(&format!("blobs/sha256/{manifest_digest}"), &manifest)?;
        layer.rewind()?;
        tar.append_data(&mut header(0o644, size), format!("blobs/sha256/{digest}"), &mut layer)?;
        tar.into_inner()?.flush()?;
        Ok(())
    }
}

/// Adds a file, or each file of a folder, under its path in the image.
fn walk(source: &Path, destination: &str, found: &mut BTreeMap<String, PathBuf>) -> Result<()> {
    let about = fs::metadata(source).with_context(|| format!("no file {}", source.display()))?;
    if !about.is_dir() {
        found.insert(destination.to_owned(), fs::canonicalize(source)?);
        return Ok(());
    }
    for entry in fs::read_dir(source)? {
        let entry = entry?;
        walk(
            &entry.path(),
            &format!(
                "{}/{}",
                destination.trim_end_matches('/'),
                entry.file_name().to_string_lossy()
            ),
            found,
        )?;
    }
    Ok(())
}

/// The shared libraries of a program, at the paths it looks for them; none for anything that is not a dynamic program.
fn libraries(program: &Path) -> Result<Vec<String>> {
    let mut magic = [0; 4];
    let read = File::open(program)?.read(&mut magic)?;
    if read < 4 || magic != *b"\x7fELF" {
        return Ok(Vec::new());
    }
    let listed = Command::new("ldd")
        .arg(program)
        .output()
        .context("cannot run ldd: apt-get install -y libc-bin")?;
    Ok(library_paths(&String::from_utf8_lossy(&listed.stdout)))
}

/// Reads ldd's answer: `name => /path (address)` or `/path (address)`.
fn library_paths(listing: &str) -> Vec<String> {
    listing
        .split_whitespace()
        .filter(|word| word.starts_with('/'))
        .map(str::to_owned)
        .collect()
}

fn write_layer(contents: &BTreeMap<String, PathBuf>, layer: &mut File) -> Result<(String, u64)> {
    let mut out = Hashing {
        hash: Sha256::new(),
        size: 0,
        inner: io::BufWriter::new(layer),
    };
    let mut tar = tar::Builder::new(&mut out);
    for folder in FOLDERS {
        let mut entry = header(if folder == "tmp" { 0o1777 } else { 0o755 }, 0);
        entry.set_entry_type(tar::EntryType::Directory);
        tar.append_data(&mut entry, folder, io::empty())?;
    }
    for (destination, source) in contents {
        let file = File::open(source).with_context(|| format!("cannot read {}", source.display()))?;
        let about = file.metadata()?;
        tar.append_data(
            &mut header(about.permissions().mode() & 0o7777, about.len()),
            destination.trim_start_matches('/'),
            file,
        )?;
    }
    tar.finish()?;
    drop(tar);
    out.flush()?;
    Ok((hex(&out.hash.finalize()), out.size))
}

fn header(mode: u32, size: u64) -> tar::Header {
    let mut header = tar::Header::new_gnu();
    header.set_mode(mode);
    header.set_size(size);
    header.set_mtime(0);
    header.set_uid(0);
    header.set_gid(0);
    header
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// This machine's architecture by its OCI name.
fn architecture() -> &'static str {
    match std::env::consts::ARCH {
        "x86_64" => "amd64",
        "aarch64" => "arm64",
        other => other,
    }
}

/// Passes bytes on, counting and hashing them.
struct Hashing<W> {
    hash: Sha256,
    size: u64,
    inner: W,
}

impl<W: Write> Write for Hashing<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let written = self.inner.write(bytes)?;
        self.hash.update(bytes.get(..written).unwrap_or_default());
        self.size += written as u64;
        Ok(written)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn libraries_are_read_from_both_forms_of_line() {
        let listing = "\tlinux-vdso.so.1 (0x1)\n\tlibc.so.6 => /lib/libc.so.6 (0x2)\n\t/lib64/ld.so (0x3)\n";
        assert_eq!(library_paths(listing), ["/lib/libc.so.6", "/lib64/ld.so"]);
        assert!(library_paths("\tnot a dynamic executable\n").is_empty());
    }

    #[test]
    fn an_image_is_the_same_bytes_each_time_and_names_itself() {
        let dir = tempfile::tempdir().unwrap();
        let source = dir.path().join("hello");
        fs::write(&source, "hello").unwrap();
        let image = Image::new("registry.local/hello:1")
            .file(&source, "/etc/hello")
            .user("7")
            .env("A=b")
            .entrypoint(["/etc/hello"]);
        let (first, second) = (dir.path().join("1.tar"), dir.path().join("2.tar"));
        image.write(&first).unwrap();
        image.write(&second).unwrap();
        assert_eq!(fs::read(&first).unwrap(), fs::read(&second).unwrap());
        let mut archive = tar::Archive::new(File::open(&first).unwrap());
        let names: Vec<String> = archive
            .entries()
            .unwrap()
            .map(|entry| entry.unwrap().path().unwrap().display().to_string())
            .collect();
        assert!(
            names.contains(&"oci-layout".to_owned()) && names.contains(&"manifest.json".to_owned()),
            "{names:?}"
        );
        assert_eq!(image.short_name(), "hello");
    }

    #[test]
    fn an_image_without_tag_is_refused() {
        let dir = tempfile::tempdir().unwrap();
        assert!(Image::new("hello").write(&dir.path().join("x.tar")).is_err());
    }
}
