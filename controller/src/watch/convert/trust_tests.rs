//! Bindings, accounts and the mesh's rules as the API server gives them.

use super::*;
use serde_json::json;

fn policy(spec: Value) -> Result<Option<MeshPolicy>, Invalid> {
    let object = json!({"apiVersion": "security.istio.io/v1", "kind": "AuthorizationPolicy",
        "metadata": {"name": "guard", "namespace": "shop"}, "spec": spec});
    authorization_policy(&serde_json::from_value(object).unwrap())
}

#[test]
fn only_service_accounts_are_granted_anything() {
    let of_role = |role: &str, subjects: Value| {
        let object = json!({"metadata": {"name": "b", "namespace": "shop"},
            "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "Role", "name": role}, "subjects": subjects});
        let grants = role_binding(&serde_json::from_value(object).unwrap()).unwrap();
        let names = grants.into_iter().flatten();
        names
            .map(|grant| match grant.to {
                Grantee::Account(account) => format!("{} {}/{}", grant.binding, account.namespace, account.name),
                Grantee::AllOf(namespace) => format!("{} {namespace}/*", grant.binding),
                Grantee::All => format!("{} */*", grant.binding),
            })
            .collect::<Vec<_>>()
    };
    let read = |subjects| of_role("r", subjects);
    assert_eq!(
        read(json!([
            {"kind": "ServiceAccount", "name": "web", "namespace": "shop"},
            {"kind": "ServiceAccount", "name": "own"},
            {"kind": "User", "name": "system:serviceaccount:bank:teller"},
            {"kind": "User", "name": "alice"},
            {"kind": "Group", "name": "system:serviceaccounts:shop"},
        ])),
        [
            "RoleBinding shop/b bank/teller",
            "RoleBinding shop/b shop/own",
            "RoleBinding shop/b shop/web",
            "RoleBinding shop/b shop/*"
        ]
    );
    let groups = json!([{"kind": "Group", "name": "system:serviceaccounts"}, {"kind": "Group", "name": "system:serviceaccountsabc"}]);
    assert_eq!(read(groups.clone()), ["RoleBinding shop/b */*"]);
    assert!(
        of_role("system:service-account-issuer-discovery", groups).is_empty(),
        "every cluster grants that"
    );
    assert!(read(json!([{"kind": "Group", "name": "system:authenticated"}])).is_empty());
    let cluster = json!({"metadata": {"name": "c"}, "roleRef": {"apiGroup": "rbac.authorization.k8s.io", "kind": "ClusterRole", "name": "r"},
        "subjects": [{"kind": "ServiceAccount", "name": "web", "namespace": "shop"}]});
    let grants = cluster_role_binding(&serde_json::from_value(cluster).unwrap())
        .unwrap()
        .unwrap();
    assert_eq!(grants.first().unwrap().binding, "ClusterRoleBinding c");
}

#[test]
fn clouds_are_known_by_their_annotations() {
    let read = |annotations: Value| {
        let object = json!({"metadata": {"name": "web", "namespace": "shop", "annotations": annotations}});
        service_account(&serde_json::from_value(object).unwrap()).unwrap()
    };
    assert_eq!(read(json!({"team": "shop"})), None);
    let known = read(json!({"eks.amazonaws.com/role-arn": "arn:aws:iam::1:role/web"})).unwrap();
    assert_eq!(known.first().unwrap().annotation, "eks.amazonaws.com/role-arn");
}

#[test]
fn rules_of_the_mesh_are_read_as_far_as_they_are_plain() {
    let rules = |rules: Value| policy(json!({"rules": rules})).unwrap().unwrap().rules;
    let names = |names: &[&str]| names.iter().map(|name| (*name).to_owned()).collect();
    let from = |source: Value| rules(json!([{"from": [{"source": source}]}])).remove(0);
    assert_eq!(
        from(json!({"principals": ["cluster.local/ns/shop/sa/web"]})).from,
        [Source::Principals(names(&["cluster.local/ns/shop/sa/web"]))]
    );
    assert_eq!(
        from(json!({"namespaces": ["shop"], "notPrincipals": []})).from,
        [Source::Namespaces(names(&["shop"]))]
    );
    assert_eq!(
        from(json!({"serviceAccounts": ["shop/web"]})).from,
        [Source::Accounts(names(&["shop/web"]))]
    );
    for other in [
        json!({"principals": ["a"], "namespaces": ["b"]}),
        json!({"notNamespaces": ["b"]}),
        json!({"ipBlocks": ["10.0.0.0/8"]}),
        json!({}),
    ] {
        assert_eq!(from(other).from, [Source::Other]);
    }
    let to = rules(json!([{"to": [{"operation": {"paths": ["/"]}}]}, {"when": [{"key": "k", "values": ["v"]}]}, {}]));
    let partial: Vec<bool> = to.iter().map(|rule| rule.partial).collect();
    assert_eq!(partial, [true, true, false]);
}

#[test]
fn actions_and_selectors() {
    let read = |spec: Value| policy(spec).unwrap();
    assert_eq!(read(json!({})).unwrap().action, MeshAction::Allow);
    assert_eq!(read(json!({"action": "DENY"})).unwrap().action, MeshAction::Deny);
    for other in ["CUSTOM", "AUDIT", "NEW"] {
        assert_eq!(read(json!({"action": other})).unwrap().action, MeshAction::Other);
    }
    let chosen = read(json!({"selector": {"matchLabels": {"app": "web"}}})).unwrap();
    assert_eq!(chosen.selector.get("app").map(String::as_str), Some("web"));
    assert_eq!(read(json!({"targetRefs": [{"kind": "Service", "name": "web"}]})), None);
}

#[test]
fn what_is_wrong_is_named() {
    let field = |spec: Value| policy(spec).unwrap_err().field;
    assert_eq!(field(json!({"rules": {}})), "spec.rules");
    assert_eq!(field(json!({"rules": [{"from": "all"}]})), "spec.rules[].from");
    assert_eq!(field(json!({"rules": [{"from": [{}]}]})), "spec.rules[].from[].source");
    assert_eq!(
        field(json!({"rules": [{"from": [{"source": {"principals": [1]}}]}]})),
        "spec.rules[].from[].source.principals"
    );
    assert_eq!(
        field(json!({"selector": {"matchLabels": {"app": 1}}})),
        "spec.selector.matchLabels"
    );
}
