//! The control plane without nodes: several at once, without root, and gone with the process that holds them.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use huddle_tests::bed::mesh::Kubectl;
use huddle_tests::bed::wait::until;
use huddle_tests::bed::{Cache, ControlPlane, Program, build, process};

/// Makes this test program hold a control plane until it is killed.
const HOLD: &str = "HUDDLE_TEST_HOLD";

fn folder(plane: &ControlPlane) -> Result<PathBuf> {
    let pki = plane.kubeconfig();
    Ok(pki.ancestors().nth(2).context("no run folder")?.to_owned())
}

fn gone(folder: &Path) -> Result<()> {
    until("the programs' end", Duration::from_secs(20), || {
        let left: BTreeMap<i32, String> = process::marked(folder);
        Ok(if left.is_empty() {
            Ok(())
        } else {
            Err(format!("{left:?}"))
        })
    })
}

#[test]
fn two_stand_side_by_side_and_each_program_can_crash() -> Result<()> {
    let kube = build::kube(&Cache::open()?)?;
    let mut one = ControlPlane::start()?;
    let two = ControlPlane::start()?;
    let (first, second) = (one.kubeconfig(), two.kubeconfig());
    let on = |kubeconfig| Kubectl {
        kube: &kube,
        kubeconfig,
    };
    on(&first).run(&["create", "namespace", "only-in-one"])?;
    ensure!(
        on(&second).run(&["get", "namespace", "only-in-one"]).is_err(),
        "the two share their state"
    );
    for program in Program::ALL {
        one.kill(program)?;
        ensure!(one.kill(program).is_err(), "{} was killed twice", program.name());
        one.run(program)?;
    }
    until(
        "the API server after its store crashed",
        Duration::from_secs(30),
        || {
            Ok(on(&first)
                .run(&["get", "namespace", "only-in-one"])
                .map_err(|error| format!("{error:#}")))
        },
    )?;
    let folders = [folder(&one)?, folder(&two)?];
    drop((one, two));
    for folder in folders {
        gone(&folder)?;
        ensure!(!folder.exists(), "{} is still there", folder.display());
    }
    Ok(())
}

#[test]
fn a_killed_holder_takes_its_control_plane_with_it() -> Result<()> {
    if std::env::var_os(HOLD).is_some() {
        let held = ControlPlane::start()?;
        println!("\nholding {}", folder(&held)?.display());
        // Until killed: the pipe from the test never says anything.
        std::io::stdin().read_line(&mut String::new())?;
        return Ok(());
    }
    let mut holder = Command::new(std::env::current_exe()?)
        .args([
            "--exact",
            "a_killed_holder_takes_its_control_plane_with_it",
            "--nocapture",
        ])
        .env(HOLD, "1")
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let lines = BufReader::new(holder.stdout.take().context("no output")?).lines();
    let held = lines
        .map_while(Result::ok)
        .find_map(|line| line.strip_prefix("holding ").map(PathBuf::from));
    holder.kill()?;
    holder.wait()?;
    let held = held.context("the holder held nothing")?;
    gone(&held)?;
    // Nobody was left to remove the files: the next one does.
    ControlPlane::sweep()?;
    ensure!(!held.exists(), "{} is still there", held.display());
    Ok(())
}
