//! `huddle install`: the controller, then the filter namespace by namespace, watched.

mod carry;
pub(in crate::cli) mod objects;
mod preflight;
mod rolling;
mod surplus;
mod wave;

pub(in crate::cli) use carry::{delete, step};
pub(in crate::cli) use rolling::restart;

use super::connect::{self, NAMESPACE};
use super::{Outcome, Style, ask};
use crate::args::Connection;
use crate::usage::PrometheusArgs;
use anyhow::{bail, ensure};
use preflight::Found;
use std::str::FromStr;
use surplus::Surplus;

/// What Huddle may be allowed to do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Allow {
    /// Move pods and set routing on approved plans: in this namespace, or in all that are named by --namespace.
    Act(Option<String>),
    /// Label nodes for the workloads of the namespaces where it may act (cells), so that their new pods prefer nodes of their own.
    Cells,
    /// Run callees inside the pods of their callers (companions): in this namespace, or in all where it may act.
    Merge(Option<String>),
}

impl FromStr for Allow {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text.split_once('=') {
            None if text == "act" => Ok(Self::Act(None)),
            None if text == "cells" => Ok(Self::Cells),
            Some(("act", namespace)) if !namespace.is_empty() => Ok(Self::Act(Some(namespace.to_owned()))),
            None if text == "merge" => Ok(Self::Merge(None)),
            Some(("merge", namespace)) if !namespace.is_empty() => Ok(Self::Merge(Some(namespace.to_owned()))),
            _ => Err("neither act, act=NAMESPACE, cells, merge nor merge=NAMESPACE".to_owned()),
        }
    }
}

/// How placement rules are written.
#[derive(Clone, Copy, Debug, PartialEq, Eq, clap::ValueEnum)]
pub enum Rules {
    /// As Rule objects that pods get when they are created; templates stay as they are. Needs Kubernetes 1.36.
    Admission,
    /// Into the templates of Deployments, whose pods are all restarted by it. Figures only where the namespace's Policy says templateSizes.
    Template,
}

/// Flags of `huddle install`. The line says all: what it does not name of an earlier installation is taken away.
#[derive(Clone, Debug, clap::Args)]
pub struct Args {
    /// Namespaces to measure, all of them; repeat it, or separate by commas. Run again with more to add some; from those that are not named
    /// any more the filter is taken.
    #[arg(short, long = "namespace", value_name = "NAMESPACE", value_delimiter = ',')]
    pub namespaces: Vec<String>,
    /// The controller's image.
    #[arg(long, env = "HUDDLE_IMAGE", default_value = concat!("ghcr.io/huddle/huddle:", env!("CARGO_PKG_VERSION")))]
    pub image: String,
    /// Let Huddle write to the workloads of the namespaces named by --namespace, or of one of them; with cells too, label nodes for them;
    /// with merge too, it may run a callee's containers inside its caller's pods there, where the Policy says merges or somebody asks (huddle merge).
    /// Without it Huddle only reads, and a right that was given before is taken back.
    #[arg(long, value_name = "act[=NAMESPACE],cells,merge[=NAMESPACE]", value_delimiter = ',')]
    pub allow: Vec<Allow>,
    /// With --allow act: how placement rules are written in these namespaces; admission where the cluster serves it.
    #[arg(long, value_enum)]
    pub rules: Option<Rules>,
    /// Bring the filter by rolling restarts of Deployments, so that no listener of a running proxy changes.
    #[arg(long)]
    pub rolling: bool,
    /// What to call this cluster.
    #[arg(long, default_value = "kubernetes")]
    pub cluster_name: String,
    /// Seconds between reports.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u32).range(1..=60))]
    pub report_interval: u32,
    /// Take a wave back when more than this many percent of a namespace's calls fail, beyond what failed before.
    #[arg(long, default_value_t = 5, value_parser = clap::value_parser!(u8).range(0..=100))]
    pub max_errors: u8,
    /// Seconds to wait for the controller to be ready, and for each wave's pods to report.
    #[arg(long, default_value_t = 180)]
    pub patience: u64,
    /// Let the controller take whatever certificate a kubelet shows. For clusters whose kubelets sign their own (kubeadm's default); whoever
    /// stands at a node's address then gets the controller's token.
    #[arg(long)]
    pub kubelet_insecure_tls: bool,
    /// Which Prometheus the controller reads usage from.
    #[command(flatten)]
    pub prometheus: PrometheusArgs,
    /// How many edges, the busiest first, the controller's /metrics names, for Prometheus and Grafana (manifests/grafana). It asks nobody who
    /// he is: whoever reaches port 8080 of the controller then reads that much of the graph.
    #[arg(long, default_value_t = 0, value_parser = clap::value_parser!(u32).range(0..=10_000))]
    pub edge_metrics: u32,
    /// Do not ask.
    #[arg(short, long)]
    pub yes: bool,
    /// Only say what would be done.
    #[arg(long)]
    pub dry_run: bool,
}

impl Args {
    fn act(&self) -> bool {
        self.allow.iter().any(|allow| matches!(allow, Allow::Act(_)))
    }

    /// Where Huddle may act.
    fn acting(&self) -> Vec<&str> {
        let may = |name: &&str| {
            let named = |allow: &Allow| match allow {
                Allow::Act(None) => true,
                Allow::Act(Some(only)) => only == name,
                Allow::Cells | Allow::Merge(_) => false,
            };
            self.allow.iter().any(named)
        };
        self.namespaces.iter().map(String::as_str).filter(may).collect()
    }

    /// Where Huddle may merge.
    fn merging(&self) -> Vec<&str> {
        let may = |name: &&str| {
            let named = |allow: &Allow| match allow {
                Allow::Merge(None) => true,
                Allow::Merge(Some(only)) => only == name,
                Allow::Act(_) | Allow::Cells => false,
            };
            self.allow.iter().any(named)
        };
        self.acting().into_iter().filter(may).collect()
    }

    pub(super) fn merge(&self) -> bool {
        self.allow.iter().any(|allow| matches!(allow, Allow::Merge(_)))
    }

    /// What makes no sense in this cluster.
    fn check_in(&self, found: &Found) -> anyhow::Result<()> {
        ensure!(
            found.admission || self.rules != Some(Rules::Admission),
            "this cluster serves no MutatingAdmissionPolicy v1 (Kubernetes 1.36): --rules template does without it"
        );
        ensure!(
            !self.cells() || self.rules(found) == Rules::Admission,
            "--allow cells needs rules that pods get as they are created (--rules admission, Kubernetes 1.36)"
        );
        ensure!(
            !self.merge() || found.admission,
            "this cluster serves no MutatingAdmissionPolicy v1 (Kubernetes 1.36): --allow merge cannot do without it"
        );
        Ok(())
    }

    /// What makes no sense in the line itself.
    fn check(&self) -> anyhow::Result<()> {
        ensure!(
            !self.act() || !self.namespaces.is_empty(),
            "--allow act needs the namespaces that it holds for: --namespace NAMESPACE"
        );
        for allow in &self.allow {
            if let Allow::Act(Some(name)) = allow
                && !self.namespaces.contains(name)
            {
                bail!("--allow act={name}: {name} is not among the namespaces to measure (--namespace)");
            }
        }
        ensure!(
            !self.cells() || self.act(),
            "--allow cells is about the rules that act makes: --allow act,cells"
        );
        let acting = self.acting();
        for allow in &self.allow {
            let lacks = match allow {
                Allow::Merge(None) => acting.is_empty(),
                Allow::Merge(Some(name)) => !acting.contains(&name.as_str()),
                Allow::Act(_) | Allow::Cells => false,
            };
            ensure!(
                !lacks,
                "--allow merge is a right beside act, in the same namespace: --allow act,merge"
            );
        }
        ensure!(
            self.rules.is_none() || self.act(),
            "--rules says how rules are written, and without --allow act there are none"
        );
        self.prometheus.check()?;
        Ok(())
    }

    fn cells(&self) -> bool {
        self.allow.contains(&Allow::Cells)
    }

    /// The wish, or what the cluster can do.
    fn rules(&self, found: &Found) -> Rules {
        let served = if found.admission {
            Rules::Admission
        } else {
            Rules::Template
        };
        self.rules.unwrap_or(served)
    }
}

pub(super) async fn run(connection: &Connection, args: &Args) -> anyhow::Result<Outcome> {
    args.check()?;
    let client = connect::client(connection).await?;
    let found = preflight::look(&client, &args.namespaces, (args.act(), args.cells())).await?;
    args.check_in(&found)?;
    let surplus = surplus::look(&client, args, &found).await?;
    let dropped = surplus.unmeasured();
    ensure!(
        !args.namespaces.is_empty() || dropped.is_empty(),
        "this line names no namespace, and {0} would be measured no longer: keep with --namespace {0}, or end all with `huddle uninstall`",
        dropped.join(",")
    );
    print!("{}", announce(&found, args, &surplus, Style::detect()));
    let held = surplus.obstacles(&client).await?;
    ensure!(held.is_empty(), "nothing was changed:\n  {}", held.join("\n  "));
    if args.dry_run {
        return Ok(Outcome::Done);
    }
    if !ask::agreed(args.yes, "Go ahead?")? {
        println!("Nothing was changed.");
        return Ok(Outcome::NotAgreed);
    }
    carry::out(&client, connection, args, &found, &surplus).await
}

/// Memory that the filter adds per pod with a sidecar, in MB, measured on the bed with Envoy 1.40.
const MEMORY_MB: usize = 28;
/// Cpu that it adds per 1 000 requests per second through a pair of proxies, in millicores: 90 to 170 µs per request.
const CPU_MILLICORES: (u32, u32) = (90, 170);

/// What will be done and what it costs.
fn announce(found: &Found, args: &Args, surplus: &Surplus, style: Style) -> String {
    let pods: usize = found.targets.iter().map(|target| target.meshed).sum();
    let mut lines = vec![
        style.bold("This will be done"),
        format!(
            "  {} the controller ({}) in namespace {NAMESPACE}, with read access to the cluster and write access to Huddle's own plans",
            if found.installed { "update" } else { "install" },
            args.image
        ),
        "  install three kinds (policies, plans, rules of huddle.dev) and the admission policies that protect them"
            .to_owned(),
    ];
    // It was checked, and holds no password.
    lines.extend(args.prometheus.url.as_ref().map(|url| {
        format!(
            "  read what containers use from Prometheus ({url}); kubelets are not asked, and the right to is not given"
        )
    }));
    for target in &found.targets {
        let bare = match target.bare {
            0 => String::new(),
            count => format!("; {count} pods without sidecar cannot be measured"),
        };
        lines.push(format!(
            "  install the filter in namespace {}: {} pods with a sidecar{bare}",
            target.name, target.meshed
        ));
    }
    for namespace in &found.gateways {
        lines.push(format!(
            "  keep Huddle's headers inside the mesh at the gateways of namespace {namespace}"
        ));
    }
    if args.act() {
        lines.push(format!(
            "  let Huddle, on approved plans only, replace pods and set routing in {} (--allow act)",
            args.acting().join(", ")
        ));
        if args.cells() {
            lines.push(
                "  let Huddle set and remove labels of nodes that begin with huddle.dev/cell- and nothing else of them (--allow cells)"
                    .to_owned(),
            );
        }
        if args.merge() {
            lines.push(format!(
                "  install a fourth kind (companions), and let Huddle add containers of callees to new pods of their callers in {},\n  \
                 tell the proxies of these pods, and set the callees' replicas (--allow merge), where somebody asks for it or the Policy says merges",
                args.merging().join(", ")
            ));
        }
        if !found.admission {
            lines.push(style.warn("  this cluster serves no MutatingAdmissionPolicy v1 (Kubernetes 1.36)"));
        }
        if args.rules(found) == Rules::Template {
            lines.push(
                "  write placement rules into the templates of Deployments there (--rules template): each one restarts all pods of\n  \
                 its workload, rolling, and so does its undo; figures of cpu and memory too where a Policy says templateSizes: true"
                    .to_owned(),
            );
        }
    }
    lines.extend(surplus.announce(found, style));
    lines.push(String::new());
    lines.push(style.bold("This is what it costs"));
    lines.push(format!(
        "  memory: about {MEMORY_MB} MB per sidecar, {} MB in all; it is not given back before a proxy restarts",
        MEMORY_MB * pods
    ));
    lines.push(format!(
        "  cpu: about {} to {} millicores per 1 000 calls per second (+ 20 % of the proxies' share)",
        CPU_MILLICORES.0, CPU_MILLICORES.1
    ));
    lines.push(if args.rolling {
        format!("  every Deployment of these namespaces is restarted once, rolling ({pods} pods)")
    } else {
        format!(
            "  the proxies' listeners change once: calls and streams that last longer than {} s after that are cut (--rolling avoids it)",
            found.mesh.drain_s
        )
    });
    lines.push(format!(
        "\nIstio {} in namespace {}. `huddle uninstall` undoes all of it.\n\n",
        found.mesh.version, found.mesh.namespace
    ));
    lines.join("\n")
}

#[cfg(test)]
mod tests {
    use super::preflight::{Mesh, Target};
    use super::*;
    use clap::Parser;

    #[derive(Parser)]
    pub(super) struct Line {
        #[command(flatten)]
        pub(super) args: Args,
    }

    pub(super) fn found() -> Found {
        let target = |name: &str, meshed, bare| Target {
            name: name.to_owned(),
            meshed,
            bare,
            injection: ("istio-injection".to_owned(), "enabled".to_owned()),
        };
        Found {
            mesh: Mesh {
                version: "1.31.1".to_owned(),
                namespace: "istio-system".to_owned(),
                drain_s: 45,
            },
            targets: vec![target("load", 1, 0), target("shop", 26, 2)],
            gateways: vec!["istio-ingress".to_owned()],
            admission: true,
            installed: false,
        }
    }

    #[test]
    fn what_is_done_and_what_it_costs_is_said_first() {
        let args = Line::parse_from([
            "x",
            "--namespace",
            "shop,load",
            "--allow",
            "act",
            "--image",
            "r/huddle:1",
        ])
        .args;
        assert_eq!(args.namespaces, ["shop", "load"]);
        insta::assert_snapshot!(announce(&found(), &args, &Surplus::default(), Style::plain()));
    }

    #[test]
    fn cells_are_a_right_of_their_own() {
        let with = Line::parse_from(["x", "-n", "shop", "--allow", "act,cells"]).args;
        let text = announce(&found(), &with, &Surplus::default(), Style::plain());
        assert!(
            text.contains("huddle.dev/cell-") && text.contains("--allow cells"),
            "{text}"
        );
        let without = Line::parse_from(["x", "-n", "shop", "--allow", "act"]).args;
        let text = announce(&found(), &without, &Surplus::default(), Style::plain());
        assert!(!text.contains("cell"), "{text}");
    }

    #[test]
    fn prometheus_is_said_and_a_bad_address_refused() {
        let args = |url: &str| Line::parse_from(["x", "-n", "shop", "--prometheus", url]).args;
        let good = args("http://prometheus.monitoring:9090");
        let text = announce(&found(), &good, &Surplus::default(), Style::plain());
        assert!(
            text.contains("from Prometheus (http://prometheus.monitoring:9090); kubelets are not asked"),
            "{text}"
        );
        assert!(good.check().is_ok());
        let told = args("prometheus:9090").check().unwrap_err().to_string();
        assert!(
            told.starts_with("--prometheus ") && told.contains("http://HOST:9090"),
            "{told}"
        );
    }

    #[test]
    fn merging_is_a_right_of_its_own() {
        let line = |allow| Line::parse_from(["x", "-n", "shop,load", "--allow", allow]).args;
        let with = line("act,merge=shop");
        assert!(with.check().is_ok());
        assert_eq!((with.acting(), with.merging()), (vec!["shop", "load"], vec!["shop"]));
        assert_eq!(line("act=load,merge").merging(), ["load"]);
        let text = announce(&found(), &with, &Surplus::default(), Style::plain());
        assert!(
            text.contains("companions") && text.contains("(--allow merge)"),
            "{text}"
        );
        let text = announce(&found(), &line("act,cells"), &Surplus::default(), Style::plain());
        assert!(!text.contains("merge") && !text.contains("companions"), "{text}");
        for alone in ["merge", "act=load,merge=shop"] {
            let refused = line(alone).check().unwrap_err().to_string();
            assert!(refused.contains("--allow act,merge"), "{alone}: {refused}");
        }
        assert!(Line::try_parse_from(["x", "--allow", "merge="]).is_err());
    }

    #[test]
    fn a_cluster_without_the_policies_merges_nothing() {
        let args = Line::parse_from(["x", "-n", "shop", "--allow", "act,merge"]).args;
        let mut found = found();
        assert!(args.check_in(&found).is_ok());
        found.admission = false;
        let refused = args.check_in(&found).unwrap_err().to_string();
        assert!(refused.contains("no MutatingAdmissionPolicy v1"), "{refused}");
    }

    #[test]
    fn rolling_and_old_clusters_are_said() {
        let args = Line::parse_from(["x", "-n", "shop", "--allow", "act", "--rolling"]).args;
        let mut found = found();
        found.admission = false;
        let text = announce(&found, &args, &Surplus::default(), Style::plain());
        assert!(
            text.contains("restarted once, rolling (27 pods)") && !text.contains("are cut"),
            "{text}"
        );
        assert!(text.contains("into the templates of Deployments"), "{text}");
        found.admission = true;
        let chosen = announce(&found, &args, &Surplus::default(), Style::plain());
        assert!(!chosen.contains("templates"), "{chosen}");
    }

    #[test]
    fn acting_is_allowed_everywhere_or_by_name() {
        let args = |more: &[&str]| Line::parse_from([&["x", "-n", "shop,load,cart"], more].concat()).args;
        assert_eq!(args(&[]).acting(), Vec::<&str>::new());
        assert_eq!(args(&["--allow", "act"]).acting(), ["shop", "load", "cart"]);
        let some = args(&["--allow", "act=cart", "--allow", "act=shop"]);
        assert_eq!(some.acting(), ["shop", "cart"]);
        assert!(some.check().is_ok());
        let celled = args(&["--allow", "act=cart,cells"]);
        assert_eq!((celled.acting(), celled.cells()), (vec!["cart"], true));
        let alone = args(&["--allow", "cells"]).check().unwrap_err().to_string();
        assert!(alone.contains("--allow act,cells"), "{alone}");
        let wrong = args(&["--allow", "act=chart"]).check().unwrap_err().to_string();
        assert!(wrong.contains("chart is not among the namespaces"), "{wrong}");
        assert!(Line::try_parse_from(["x", "--allow", "act="]).is_err());
        assert!(Line::try_parse_from(["x", "--allow", "everything"]).is_err());
    }
}
