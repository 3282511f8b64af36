//! Owns the description of the API that clients see (OpenAPI): made from the settings in force and from the
//! types that are sent, so that it says what this gateway does and not what some gateway might.

use axum::extract::State;
use axum::response::IntoResponse as _;
use bytes::Bytes;
use http::header;
use utoipa::openapi::path::{OperationBuilder, Parameter, ParameterBuilder, ParameterIn};
use utoipa::openapi::schema::{ArrayBuilder, ObjectBuilder, Schema, Type};
use utoipa::openapi::security::{ApiKey, ApiKeyValue, HttpAuthScheme, HttpBuilder, SecurityScheme};
use utoipa::openapi::{
    ComponentsBuilder, Content, HeaderBuilder, HttpMethod, InfoBuilder, OpenApi, OpenApiBuilder, PathItem,
    PathsBuilder, Ref, RefOr, Required, Response, ResponseBuilder, SecurityRequirement, Server,
};

use crate::config::{AccessMode, Settings};
use crate::core::task::MAX_ID;
use crate::http::respond::error_response::{Details, Envelope};
use crate::http::respond::list_body::{Item, List, MOST};

const JSON: &str = "application/json";
const EVENTS: &str = "text/event-stream";

/// The document, as JSON.
#[derive(Clone)]
pub(super) struct Description(Bytes);

impl Description {
    /// The API as these settings make it.
    pub(super) fn of(settings: &Settings) -> Self {
        // Plain maps and texts: they always serialize.
        Self(serde_json::to_vec(&describe(settings)).unwrap_or_default().into())
    }
}

/// The API that clients see.
pub(super) async fn show(State(Description(json)): State<Description>) -> axum::response::Response {
    let headers = [(header::CONTENT_TYPE, JSON), (header::CACHE_CONTROL, "no-store")];
    (headers, json).into_response()
}

fn describe(settings: &Settings) -> OpenApi {
    let mut paths = PathsBuilder::new().path("/livez", PathItem::new(HttpMethod::Get, livez()));
    let canonical = settings.upstream.routes.canonical();
    for route in settings.upstream.routes.iter() {
        let reading = read(settings, route.template());
        let mut path = PathItem::from_http_methods([HttpMethod::Get, HttpMethod::Head], reading);
        if settings.access.allow_cancel && Some(route) == canonical {
            path.merge_operations(PathItem::new(HttpMethod::Delete, cancel(settings)));
        }
        paths = paths.path(route.template(), path);
    }
    paths = paths
        .path("/v1/tasks", PathItem::from_http_methods([HttpMethod::Get, HttpMethod::Head], list(settings)));
    let mut components = ComponentsBuilder::new()
        .schema_from::<Envelope<'_>>()
        .schema_from::<Details<'_>>()
        .schema_from::<List<'_>>()
        .schema_from::<Item<'_>>();
    if settings.access.mode == AccessMode::Protected {
        let bearer = HttpBuilder::new()
            .scheme(HttpAuthScheme::Bearer)
            .description(Some("A token of this gateway, or a ticket"))
            .build();
        let ticket =
            ApiKeyValue::with_description("ticket", "A ticket, for EventSource, which has no headers");
        components = components
            .security_scheme("bearer", SecurityScheme::Http(bearer))
            .security_scheme("ticket", SecurityScheme::ApiKey(ApiKey::Query(ticket)));
    }
    let info = InfoBuilder::new().title("taskgate").version(env!("CARGO_PKG_VERSION")).description(Some(
        "Reads the tasks of the API behind this gateway. Each status path answers in three ways: at once, after a \
         wait, or as a stream of server-sent events.",
    ));
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([Server::new(format!("http://{}", settings.server.listen))]))
        .paths(paths.build())
        .components(Some(components.build()))
        .build()
}

/// GET and HEAD of a status path.
fn read(settings: &Settings, template: &str) -> OperationBuilder {
    let none_match = "The ETag of the state that is known: another state answers, or 304";
    operation(settings)
        .summary(Some("Read a task"))
        .description(Some(format!(
            "Mirrors the upstream's {template}. With Accept: text/event-stream it is a stream of every change."
        )))
        .parameter(id())
        .parameters(Some(waiting(settings)))
        .parameter(header("If-None-Match", none_match))
        .parameter(header("Last-Event-ID", "The id of the last event that was seen"))
        .response("200", state("The task, byte for byte as the upstream answers; or a stream of its states"))
        .response("204", Response::new("A stream's reader has seen the end"))
        .response("304", Response::new("The state is the one that is known"))
        .response("400", refusal("The id or a parameter is not valid, or there is a body"))
        .response("404", mirrored("The upstream knows no such task, or this is no id's path"))
        .response("4XX", mirrored("The upstream's own refusal"))
        .response("429", refused_for_now("The budget, a limit of this client or the upstream's limit is reached"))
        .response("502", refused_for_now("The upstream failed, and nothing is known"))
        .response("503", refused_for_now("Too many tasks are watched, or the gateway stops"))
        .response("504", refused_for_now("The upstream did not answer in time, and nothing is known"))
}

/// DELETE of a status path.
fn cancel(settings: &Settings) -> OperationBuilder {
    operation(settings)
        .summary(Some("Cancel a task"))
        .description(Some("Goes upstream once. After 504 or 502 the task may be cancelled all the same."))
        .parameter(id())
        .response("200", state("The task after it"))
        .response("204", Response::new("It is done, or will be"))
        .response("400", mirrored("The id is not valid, there is a body, or the task cannot be cancelled"))
        .response("404", mirrored("The upstream knows no such task"))
        .response("4XX", mirrored("The upstream's own refusal"))
        .response(
            "429",
            refused_for_now("The budget, a limit of this client or the upstream's limit is reached"),
        )
        .response("502", refused_for_now("The upstream failed"))
        .response("503", refused_for_now("Too many cancellations wait"))
        .response("504", refused_for_now("The upstream did not answer in time"))
}

fn list(settings: &Settings) -> OperationBuilder {
    let ids = ArrayBuilder::new()
        .items(ObjectBuilder::new().schema_type(Type::String))
        .min_items(Some(1))
        .max_items(Some(MOST));
    let id = ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Query)
        .required(Required::True)
        .description(Some("Ids of /v1/tasks/{id}, or whole paths of other routes"))
        .schema(Some(ids))
        .explode(Some(true));
    let content = Content::new(Some(Ref::from_schema_name("List")));
    let items = ResponseBuilder::new()
        .description("Each of them, in the asked order; or one stream of all their changes")
        .content(JSON, content)
        .content(EVENTS, events());
    operation(settings)
        .summary(Some("Read many tasks"))
        .parameter(id)
        .parameter(header("Last-Event-ID", "The id of the last event that was seen"))
        .response("200", items)
        .response("204", Response::new("A stream's reader has seen the end"))
        .response("400", refusal("A parameter is not valid, or there is a body"))
        .response("429", refused_for_now("A limit of this client is reached"))
}

fn livez() -> OperationBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let alive = ResponseBuilder::new()
        .description("The process runs")
        .content("text/plain; charset=utf-8", Content::new(Some(Schema::from(text.build()))));
    OperationBuilder::new().summary(Some("Is it alive?")).response("200", alive)
}

/// What all that reads or cancels tasks has in common.
fn operation(settings: &Settings) -> OperationBuilder {
    let operation = OperationBuilder::new()
        .response("403", refusal("This Host, this page or this ticket may not"))
        .response("405", refusal("The method is not one of this path's"));
    match settings.access.mode {
        AccessMode::Open => operation,
        AccessMode::Protected => operation
            .securities(Some(["bearer", "ticket"].map(|name| SecurityRequirement::new(name, [""; 0]))))
            .response("401", refusal("There is no token or ticket, or it does not hold")),
    }
}

fn id() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(MAX_ID))
        .pattern(Some("^[A-Za-z0-9_-]+$"));
    ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The task's id, as the create answered it"))
        .schema(Some(schema))
        .build()
}

fn waiting(settings: &Settings) -> [Parameter; 2] {
    let most = settings.polling.max_wait.as_secs();
    let seconds = ObjectBuilder::new().schema_type(Type::Integer).minimum(Some(0));
    let wait = ParameterBuilder::new()
        .name("wait")
        .parameter_in(ParameterIn::Query)
        .required(Required::False)
        .description(Some(format!("Seconds to wait for news or the end; more than {most} is {most}")))
        .schema(Some(seconds));
    [wait.build(), header("Prefer", "wait=N, as RFC 7240 has it; the query wins")]
}

fn header(name: &str, words: &str) -> Parameter {
    ParameterBuilder::new()
        .name(name)
        .parameter_in(ParameterIn::Header)
        .required(Required::False)
        .description(Some(words))
        .schema(Some(ObjectBuilder::new().schema_type(Type::String)))
        .build()
}

/// A state: whatever JSON the upstream sends.
fn state(words: &str) -> Response {
    let told = |words: &str, kind: Type| {
        HeaderBuilder::new()
            .schema(Some(ObjectBuilder::new().schema_type(kind)))
            .description(Some(words))
            .build()
    };
    ResponseBuilder::new()
        .description(words)
        .content(JSON, anything())
        .content(EVENTS, events())
        .header("ETag", told("Names these bytes", Type::String))
        .header("Age", told("Seconds since the upstream was asked", Type::Integer))
        .header("Cache-Status", told("How the answer was come by (RFC 9211)", Type::String))
        .header("Retry-After", told("Seconds until it is worth asking again", Type::Integer))
        .build()
}

/// The upstream's own words, or the gateway's.
fn mirrored(words: &str) -> Response {
    ResponseBuilder::new().description(words).content(JSON, anything()).build()
}

fn refusal(words: &str) -> Response {
    let envelope = Content::new(Some(Ref::from_schema_name("Envelope")));
    ResponseBuilder::new().description(words).content(JSON, envelope).build()
}

fn refused_for_now(words: &str) -> Response {
    let seconds = ObjectBuilder::new().schema_type(Type::Integer);
    let mut refusal = refusal(words);
    let wait = HeaderBuilder::new()
        .schema(Some(seconds))
        .description(Some("Seconds until it is worth asking again"));
    refusal.headers.insert("Retry-After".to_owned(), RefOr::T(wait.build()));
    refusal
}

fn anything() -> Content {
    Content::new(Some(utoipa::openapi::schema::empty()))
}

fn events() -> Content {
    Content::new(Some(ObjectBuilder::new().schema_type(Type::String)))
}
