//! The watches themselves: one stream of updates from all kinds.

use super::convert::{self, Invalid};
use super::store::Update;
use super::table::Change;
use futures::stream::{self, BoxStream, SelectAll};
use futures::{FutureExt, StreamExt};
use huddle_api::{LABEL_FORM, LABEL_STATE, STATE_ARMED};
use huddle_core::cluster::MeshPolicy;
use huddle_core::id::{Namespace, WorkloadKind};
use k8s_openapi::api::{apps, autoscaling, core, policy, rbac};
use kube::api::{ApiResource, ListParams};
use kube::core::{DeserializeGuard, DynamicObject, GroupVersionKind};
use kube::runtime::{WatchStreamExt, watcher};
use kube::{Api, Client, Resource, ResourceExt};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use serde::de::DeserializeOwned;
use std::time::Duration;

/// Objects left out because they could not be read, by kind.
pub type Skipped = Family<[(&'static str, &'static str); 1], Counter>;

/// How often a kind that the cluster does not serve, or that may not be read, is looked for again.
const LOOK_AGAIN: Duration = Duration::from_secs(30);

/// All updates from all watches; never ends. Objects that cannot be read are logged, counted in `skipped` and left out.
pub async fn streams(client: &Client, skipped: &Skipped) -> BoxStream<'static, Update> {
    let mut all = SelectAll::new();
    let builtin = |kind| Kind {
        name: kind,
        skipped: skipped.clone(),
        optional_right: false,
    };
    let c = || client.clone();
    all.push(typed(
        Api::<Guard<core::v1::Namespace>>::all(c()),
        builtin("Namespace"),
        convert::namespace,
        Update::Namespace,
    ));
    all.push(typed(
        Api::<Guard<core::v1::Node>>::all(c()),
        builtin("Node"),
        convert::node,
        Update::Node,
    ));
    all.push(typed(
        Api::<Guard<apps::v1::ReplicaSet>>::all(c()),
        builtin("ReplicaSet"),
        convert::replica_set,
        Update::ReplicaSet,
    ));
    all.push(typed(
        Api::<Guard<core::v1::Pod>>::all(c()),
        builtin("Pod"),
        convert::pod,
        Update::Pod,
    ));
    all.push(typed(
        Api::<Guard<apps::v1::Deployment>>::all(c()),
        builtin("Deployment"),
        deployed,
        Update::Deployment,
    ));
    all.push(typed(
        Api::<Guard<apps::v1::StatefulSet>>::all(c()),
        builtin("StatefulSet"),
        convert::stateful_set,
        |change| Update::Workload(WorkloadKind::StatefulSet, change),
    ));
    all.push(typed(
        Api::<Guard<apps::v1::DaemonSet>>::all(c()),
        builtin("DaemonSet"),
        convert::daemon_set,
        |change| Update::Workload(WorkloadKind::DaemonSet, change),
    ));
    all.push(typed(
        Api::<Guard<core::v1::Service>>::all(c()),
        builtin("Service"),
        convert::service,
        Update::Service,
    ));
    all.push(typed(
        Api::<Guard<policy::v1::PodDisruptionBudget>>::all(c()),
        builtin("PodDisruptionBudget"),
        convert::budget,
        Update::Budget,
    ));
    all.push(typed(
        Api::<Guard<autoscaling::v2::HorizontalPodAutoscaler>>::all(c()),
        builtin("HorizontalPodAutoscaler"),
        convert::autoscaler,
        Update::Autoscaler,
    ));
    all.extend(trust(client, skipped).await);
    let all_of = watcher::Config::default;
    let routes = resource("networking.istio.io", "v1", "DestinationRule", "destinationrules");
    let (kind, read) = (builtin("DestinationRule"), convert::destination_rule);
    all.push(optional(client, routes, all_of(), kind, read, Update::Route).await);
    let slices = resource("discovery.k8s.io", "v1", "EndpointSlice", "endpointslices");
    let (kind, foreign) = (builtin("EndpointSlice"), all_of().labels(convert::FOREIGN_SLICES));
    all.push(optional(client, slices, foreign, kind, convert::foreign_slice, Update::Slice).await);
    let verticals = resource(
        "autoscaling.k8s.io",
        "v1",
        "VerticalPodAutoscaler",
        "verticalpodautoscalers",
    );
    let (kind, read) = (builtin("VerticalPodAutoscaler"), convert::vertical);
    all.push(optional(client, verticals, all_of(), kind, read, Update::Vertical).await);
    let filters = resource("extensions.istio.io", "v1alpha1", "WasmPlugin", "wasmplugins");
    let ours = all_of().labels("app.kubernetes.io/name=huddle");
    let (kind, read) = (builtin("WasmPlugin"), |plugin: &DynamicObject| {
        Ok(plugin.namespace().map(Namespace::new))
    });
    all.push(optional(client, filters, ours, kind, read, Update::Filter).await);
    let armed = all_of().labels(&format!("{LABEL_FORM}=steady,{LABEL_STATE}={STATE_ARMED}"));
    let rules = ApiResource::erase::<huddle_api::Rule>(&());
    let read = |object: &DynamicObject| convert::rule(&parse(object)?);
    all.push(optional(client, rules, armed, builtin("Rule"), read, Update::Rule).await);
    let policies = ApiResource::erase::<huddle_api::Policy>(&());
    let read = |object: &DynamicObject| convert::policy(&parse(object)?);
    all.push(optional(client, policies, all_of(), builtin("Policy"), read, Update::Policy).await);
    let plans = ApiResource::erase::<huddle_api::Plan>(&());
    all.push(
        optional(
            client,
            plans,
            all_of(),
            builtin("Plan"),
            |object| parse(object).map(Some),
            Update::Plan,
        )
        .await,
    );
    all.boxed()
}

/// What identities are trusted with, and what else only merging asks: kinds that Huddle may be kept from reading.
async fn trust(client: &Client, skipped: &Skipped) -> [BoxStream<'static, Update>; 8] {
    let readable = |name| Kind {
        name,
        skipped: skipped.clone(),
        optional_right: true,
    };
    let mesh = |kind, plural| resource("security.istio.io", "v1", kind, plural);
    let all_of = watcher::Config::default;
    let authorizations = {
        let kind = readable("AuthorizationPolicy");
        let read = |policy: &DynamicObject| or_opaque(policy, convert::authorization_policy(policy));
        let resource = mesh("AuthorizationPolicy", "authorizationpolicies");
        optional(client, resource, all_of(), kind, read, Update::Authorization).await
    };
    let authentications = {
        let kind = readable("RequestAuthentication");
        let read = |policy: &DynamicObject| or_opaque(policy, convert::request_authentication(policy));
        let resource = mesh("RequestAuthentication", "requestauthentications");
        optional(client, resource, all_of(), kind, read, Update::Authentication).await
    };
    let routes = {
        let kind = readable("VirtualService");
        let resource = resource("networking.istio.io", "v1", "VirtualService", "virtualservices");
        optional(
            client,
            resource,
            all_of(),
            kind,
            convert::virtual_service,
            Update::Virtual,
        )
        .await
    };
    let attached = |kind, plural| resource("gateway.networking.k8s.io", "v1", kind, plural);
    let http_routes = {
        let (kind, resource) = (readable("HTTPRoute"), attached("HTTPRoute", "httproutes"));
        let read = convert::http_route;
        optional(client, resource, all_of(), kind, read, Update::HttpRoute).await
    };
    let grpc_routes = {
        let (kind, resource) = (readable("GRPCRoute"), attached("GRPCRoute", "grpcroutes"));
        let read = convert::grpc_route;
        optional(client, resource, all_of(), kind, read, Update::GrpcRoute).await
    };
    [
        authorizations,
        authentications,
        routes,
        http_routes,
        grpc_routes,
        typed(
            Api::<Guard<core::v1::ServiceAccount>>::all(client.clone()),
            readable("ServiceAccount"),
            convert::service_account,
            Update::Account,
        ),
        typed(
            Api::<Guard<rbac::v1::RoleBinding>>::all(client.clone()),
            readable("RoleBinding"),
            convert::role_binding,
            Update::RoleBinding,
        ),
        typed(
            Api::<Guard<rbac::v1::ClusterRoleBinding>>::all(client.clone()),
            readable("ClusterRoleBinding"),
            convert::cluster_role_binding,
            Update::ClusterRoleBinding,
        ),
    ]
}

type Guard<K> = DeserializeGuard<K>;
type Convert<K, V> = fn(&K) -> Result<Option<V>, Invalid>;
type Wrap<V> = fn(Change<V>) -> Update;

#[derive(Clone)]
struct Kind {
    name: &'static str,
    skipped: Skipped,
    /// Huddle works without the right to read it, and says where it would be needed.
    optional_right: bool,
}

/// A template that cannot be read costs the Deployment nothing else.
fn deployed(object: &apps::v1::Deployment) -> Result<Option<convert::Deployed>, Invalid> {
    let read = convert::deployed(object)?;
    if let Some(Err(invalid)) = read.as_ref().map(|deployed| &deployed.template) {
        tracing::warn!(object = name(object), %invalid, "template left out");
    }
    Ok(read)
}

/// A policy of the mesh that cannot be read stands for one that nobody surely passes.
fn or_opaque(policy: &DynamicObject, read: Result<Option<MeshPolicy>, Invalid>) -> Result<Option<MeshPolicy>, Invalid> {
    read.or_else(|invalid| {
        tracing::warn!(object = name(policy), %invalid, "policy of the mesh not understood: taken as passed by nobody");
        convert::opaque_policy(policy)
    })
}

fn resource(group: &str, version: &str, kind: &str, plural: &str) -> ApiResource {
    ApiResource::from_gvk_with_plural(&GroupVersionKind::gvk(group, version, kind), plural)
}

fn parse<K: Resource + DeserializeOwned>(object: &DynamicObject) -> Result<K, Invalid> {
    object.clone().try_parse().map_err(|error| Invalid {
        field: "object".to_owned(),
        problem: error.to_string(),
    })
}

fn name<K: ResourceExt>(object: &K) -> String {
    match object.namespace() {
        Some(namespace) => format!("{namespace}/{}", object.name_any()),
        None => object.name_any(),
    }
}

/// The watch of a kind that every cluster has.
fn typed<K, V>(api: Api<Guard<K>>, kind: Kind, convert: Convert<K, V>, wrap: Wrap<V>) -> BoxStream<'static, Update>
where
    K: Resource<DynamicType = ()> + Clone + DeserializeOwned + std::fmt::Debug + Send + 'static,
    V: Send + 'static,
{
    // Half a megabyte per page of pods, roughly.
    let config = watcher::Config::default().page_size(500);
    let name_of = |object: &Guard<K>| name(object);
    updates(watcher(api, config), kind, name_of, move |object| match object.0 {
        Ok(object) => convert(&object),
        Err(invalid) => Err(Invalid {
            field: "object".to_owned(),
            problem: invalid.error,
        }),
    })
    .map(wrap)
    .boxed()
}

/// The watch of a kind that may be missing: without it the table is complete and empty, until it appears.
async fn optional<V: Send + 'static>(
    client: &Client,
    resource: ApiResource,
    config: watcher::Config,
    kind: Kind,
    convert: Convert<DynamicObject, V>,
    wrap: Wrap<V>,
) -> BoxStream<'static, Update> {
    let api: Api<DynamicObject> = Api::all_with(client.clone(), &resource);
    let watch = updates(watcher(api.clone(), config), kind, name, move |object| convert(&object));
    if served(&api).await {
        return watch.map(wrap).boxed();
    }
    let empty = stream::iter([Change::Restart, Change::Done]);
    let appeared = async move {
        while !served(&api).await {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        watch
    };
    empty.chain(appeared.into_stream().flatten()).map(wrap).boxed()
}

/// Whether the API server knows the kind. Other errors are left to the watch, which reports and repeats.
async fn served(api: &Api<DynamicObject>) -> bool {
    let list = api.list_metadata(&ListParams::default().limit(1)).await;
    !matches!(list, Err(kube::Error::Api(status)) if status.code == 404)
}

/// Whether the API server turned a watch away for want of a right.
fn is_forbidden(error: &watcher::Error) -> bool {
    let status = match error {
        watcher::Error::InitialListFailed(kube::Error::Api(status))
        | watcher::Error::WatchStartFailed(kube::Error::Api(status))
        | watcher::Error::WatchFailed(kube::Error::Api(status)) => status,
        watcher::Error::WatchError(status) => status,
        watcher::Error::InitialListFailed(_)
        | watcher::Error::WatchStartFailed(_)
        | watcher::Error::WatchFailed(_)
        | watcher::Error::NoResourceVersion => return false,
    };
    status.code == 403
}

/// A watch that was turned away for want of a right is not tried again at once: each try begins anew, which resets its back-off, and nothing
/// changes until somebody gives the right.
fn patient<O: Send + 'static>(
    watch: BoxStream<'static, watcher::Result<watcher::Event<O>>>,
) -> impl stream::Stream<Item = watcher::Result<watcher::Event<O>>> + Send + 'static {
    stream::unfold((watch, false), async |(mut watch, denied)| {
        if denied {
            tokio::time::sleep(LOOK_AGAIN).await;
        }
        let event = watch.next().await?;
        let denied = matches!(&event, Err(error) if is_forbidden(error));
        Some((event, (watch, denied)))
    })
}

/// Turns a watch's events into changes of a table.
fn updates<O, V>(
    watch: impl stream::Stream<Item = watcher::Result<watcher::Event<O>>> + Send + 'static,
    kind: Kind,
    name: impl Fn(&O) -> String + Send + 'static,
    convert: impl Fn(O) -> Result<Option<V>, Invalid> + Send + 'static,
) -> BoxStream<'static, Change<V>>
where
    O: Send + 'static,
    V: Send + 'static,
{
    let row = {
        let kind = kind.clone();
        move |object: O, key: String| {
            let value = convert(object).unwrap_or_else(|invalid| {
                tracing::warn!(kind = kind.name, object = key, %invalid, "object left out");
                kind.skipped.get_or_create(&[("kind", kind.name)]).inc();
                None
            });
            Change::Row(key, value)
        }
    };
    patient(watch.default_backoff().boxed())
        .filter_map(move |event| {
            let change = match event {
                Ok(watcher::Event::Init) => Some(Change::Restart),
                Ok(watcher::Event::InitDone) => Some(Change::Done),
                Ok(watcher::Event::InitApply(object) | watcher::Event::Apply(object)) => {
                    let key = name(&object);
                    Some(row(object, key))
                }
                Ok(watcher::Event::Delete(object)) => Some(Change::Gone(name(&object))),
                Err(error) if kind.optional_right && is_forbidden(&error) => {
                    tracing::debug!(kind = kind.name, %error, "may not be read");
                    Some(Change::Forbidden)
                }
                Err(error) => {
                    tracing::warn!(kind = kind.name, %error, "watch interrupted; it will be resumed");
                    None
                }
            };
            std::future::ready(change)
        })
        .boxed()
}
