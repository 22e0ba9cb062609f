//! Keys, certificates and kubeconfigs of one cluster.

use std::fs;
use std::net::IpAddr;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use rcgen::{
    BasicConstraints, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa, Issuer, KeyPair, KeyUsagePurpose,
    SanType,
};

/// The cluster's certificate authority, and the folder its files lie in.
pub(super) struct Authority {
    folder: PathBuf,
    issuer: Issuer<'static, KeyPair>,
}

impl Authority {
    /// Makes the authority (`ca.crt`, `ca.key`) and the key that signs service account tokens (`sa.key`, `sa.pub`).
    pub(super) fn create(folder: &Path) -> Result<Self> {
        fs::create_dir_all(folder)?;
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(Vec::new())?;
        params.distinguished_name.push(DnType::CommonName, "huddle-bed");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.key_usages = vec![
            KeyUsagePurpose::KeyCertSign,
            KeyUsagePurpose::CrlSign,
            KeyUsagePurpose::DigitalSignature,
        ];
        fs::write(folder.join("ca.crt"), params.self_signed(&key)?.pem())?;
        secret(&folder.join("ca.key"), &key.serialize_pem())?;
        let accounts = KeyPair::generate()?;
        secret(&folder.join("sa.key"), &accounts.serialize_pem())?;
        fs::write(folder.join("sa.pub"), accounts.public_key_pem())?;
        Ok(Self {
            folder: folder.to_owned(),
            issuer: Issuer::new(params, key),
        })
    }

    /// Signs a certificate `NAME.crt` with its key `NAME.key` for a user of those groups, or a server under those addresses.
    pub(super) fn sign(&self, name: &str, user: &str, group: Option<&str>, addresses: &[IpAddr]) -> Result<()> {
        let key = KeyPair::generate()?;
        let mut params = CertificateParams::new(if addresses.is_empty() {
            Vec::new()
        } else {
            vec!["localhost".to_owned(), "kubernetes.default.svc".to_owned()]
        })?;
        params
            .subject_alt_names
            .extend(addresses.iter().map(|address| SanType::IpAddress(*address)));
        params.distinguished_name.push(DnType::CommonName, user);
        if let Some(group) = group {
            params.distinguished_name.push(DnType::OrganizationName, group);
        }
        params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ClientAuth, ExtendedKeyUsagePurpose::ServerAuth];
        let certificate = params.signed_by(&key, &self.issuer)?;
        fs::write(self.folder.join(format!("{name}.crt")), certificate.pem())?;
        secret(&self.folder.join(format!("{name}.key")), &key.serialize_pem())
    }

    /// Signs a user and writes `NAME.kubeconfig`, which is returned.
    pub(super) fn user(&self, name: &str, user: &str, group: Option<&str>, server: &str) -> Result<PathBuf> {
        self.sign(name, user, group, &[])?;
        let file = |suffix: &str| self.folder.join(format!("{name}.{suffix}"));
        let config = serde_json::json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "bed",
            "clusters": [{"name": "bed", "cluster": {"server": server, "certificate-authority": self.folder.join("ca.crt")}}],
            "users": [{"name": name, "user": {"client-certificate": file("crt"), "client-key": file("key")}}],
            "contexts": [{"name": "bed", "context": {"cluster": "bed", "user": name}}],
        });
        let place = file("kubeconfig");
        secret(&place, &serde_json::to_string_pretty(&config)?)?;
        Ok(place)
    }
}

/// What the certificate that a node's kubelet shows is called.
pub(super) fn serving(node: &str) -> String {
    format!("{node}-serving")
}

/// Writes a file that only its owner reads.
fn secret(path: &Path, text: &str) -> Result<()> {
    fs::write(path, text).with_context(|| format!("cannot write {}", path.display()))?;
    Ok(fs::set_permissions(
        path,
        std::os::unix::fs::PermissionsExt::from_mode(0o600),
    )?)
}
