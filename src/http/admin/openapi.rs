//! Owns the OpenAPI description of the main listener. It is made from the settings in force and from the
//! types that are sent, so that it describes this gateway's configuration.

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
    /// The description of a gateway with these settings.
    pub(super) fn of(settings: &Settings) -> Self {
        // Maps and strings always serialize.
        Self(serde_json::to_vec(&describe(settings)).unwrap_or_default().into())
    }
}

/// `/openapi.json`.
pub(super) async fn show(State(Description(json)): State<Description>) -> axum::response::Response {
    let headers = [(header::CONTENT_TYPE, JSON), (header::CACHE_CONTROL, "no-store")];
    (headers, json).into_response()
}

fn describe(settings: &Settings) -> OpenApi {
    let mut paths = PathsBuilder::new()
        .path("/livez", PathItem::new(HttpMethod::Get, livez()))
        .path("/taskgate.js", PathItem::from_http_methods([HttpMethod::Get, HttpMethod::Head], module()));
    let canonical = settings.upstream.routes.canonical();
    for route in settings.upstream.routes.iter() {
        let reading = read(settings, route.template());
        let mut path = PathItem::from_http_methods([HttpMethod::Get, HttpMethod::Head], reading);
        if settings.access.allow_cancel && Some(route) == canonical {
            path.merge_operations(PathItem::new(HttpMethod::Delete, cancel(settings)));
        }
        paths = paths.path(route.template(), path);
    }
    for route in settings.upstream.content_routes.iter() {
        let reading = content(settings);
        paths = paths.path(
            route.template(),
            PathItem::from_http_methods([HttpMethod::Get, HttpMethod::Head], reading),
        );
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
        let ticket = ApiKeyValue::with_description(
            "ticket",
            "A ticket, for EventSource, which sends no headers of its own",
        );
        components = components
            .security_scheme("bearer", SecurityScheme::Http(bearer))
            .security_scheme("ticket", SecurityScheme::ApiKey(ApiKey::Query(ticket)));
    }
    let info = InfoBuilder::new().title("taskgate").version(env!("CARGO_PKG_VERSION")).description(Some(
        "Reads the tasks of the API behind this gateway. Each status path answers in three ways: at once, \
         after a wait, or as a stream of server-sent events.",
    ));
    OpenApiBuilder::new()
        .info(info.build())
        .servers(Some([Server::new(format!("http://{}", settings.server.listen))]))
        .paths(paths.build())
        .components(Some(components.build()))
        .build()
}

const LIMITED: &str = "The budget, a limit of this client or the upstream's limit is reached";

/// GET and HEAD of a status path.
fn read(settings: &Settings, template: &str) -> OperationBuilder {
    let none_match = "The ETag of the state that the client has: the answer is another state, or 304";
    operation(settings)
        .summary(Some("Read a task"))
        .description(Some(format!(
            "Mirrors the upstream's {template}. With Accept: text/event-stream it is a stream of all changes."
        )))
        .parameter(id())
        .parameters(Some(waiting(settings)))
        .parameter(header("If-None-Match", none_match))
        .parameter(header("Last-Event-ID", "The id of the last event that was seen"))
        .response("200", state("The task, byte for byte as the upstream answered; or a stream of its states"))
        .response("204", Response::new("The client of the stream has seen the end"))
        .response("304", Response::new("The client has the state already"))
        .response("400", refusal("The id or a parameter is not valid, or there is a body"))
        .response("404", mirrored("The upstream knows no such task, or the path is no status path"))
        .response("4XX", mirrored("The upstream's own refusal"))
        .response("429", refused_for_now(LIMITED))
        .response("502", refused_for_now("The upstream failed, and no state is known"))
        .response("503", refused_for_now("Too many tasks are watched, or the gateway is stopping"))
        .response("504", refused_for_now("The upstream did not answer in time, and no state is known"))
}

/// GET and HEAD of a content path.
fn content(settings: &Settings) -> OperationBuilder {
    let bytes = |words: &str| {
        let file = ObjectBuilder::new().schema_type(Type::String);
        let content = Content::new(Some(Schema::from(file.build())));
        let types = settings.content.types.iter();
        types.fold(ResponseBuilder::new().description(words), |bytes, kind| {
            bytes.content(kind, content.clone())
        })
    };
    operation(settings)
        .summary(Some("Download a result"))
        .description(Some("The bytes pass through. The ticket for the task opens its content."))
        .parameter(id())
        .parameter(header("Range", "One range of bytes"))
        .parameter(header("If-Range", "The range counts only for the content with this ETag or date"))
        .parameter(header("If-None-Match", "The ETag of the content that the client has"))
        .parameter(header("If-Modified-Since", "The date of the content that the client has"))
        .response("200", bytes("The content"))
        .response("206", bytes("The part of it that was asked for"))
        .response("304", Response::new("The client has it already"))
        .response("3XX", Response::new("The content lies at another host, where no key is needed"))
        .response("400", refusal("The id is not valid, or there is a body"))
        .response("416", Response::new("It has no such part"))
        .response("404", mirrored("The upstream has no such content, or not yet"))
        .response("4XX", mirrored("The upstream's own refusal"))
        .response("429", refused_for_now(LIMITED))
        .response("502", refused_for_now("The upstream failed, or its answer is no content that may pass"))
        .response("503", refused_for_now("All places for downloads are taken, or the gateway is stopping"))
        .response("504", refused_for_now("The upstream did not answer in time"))
}

/// DELETE of a status path.
fn cancel(settings: &Settings) -> OperationBuilder {
    operation(settings)
        .summary(Some("Cancel a task"))
        .description(Some(
            "It is sent upstream once. After 504 or 502 the task may be cancelled all the same.",
        ))
        .parameter(id())
        .response("200", state("The task after the cancellation"))
        .response("204", Response::new("The task is cancelled, or will be"))
        .response("400", mirrored("The id is not valid, there is a body, or the task cannot be cancelled"))
        .response("404", mirrored("The upstream knows no such task"))
        .response("4XX", mirrored("The upstream's own refusal"))
        .response("429", refused_for_now(LIMITED))
        .response("502", refused_for_now("The upstream failed"))
        .response("503", refused_for_now("Too many cancellations are waiting, or the gateway is stopping"))
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
        .description("The tasks, in the order of the request; or one stream of all their changes")
        .content(JSON, content)
        .content(EVENTS, events());
    operation(settings)
        .summary(Some("Read many tasks"))
        .parameter(id)
        .parameter(header("Last-Event-ID", "The id of the last event that was seen"))
        .response("200", items)
        .response("204", Response::new("The client of the stream has seen the end"))
        .response("400", refusal("A parameter is not valid, or there is a body"))
        .response("429", refused_for_now("A limit of this client is reached"))
}

fn livez() -> OperationBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let alive = ResponseBuilder::new()
        .description("The process runs")
        .content("text/plain; charset=utf-8", Content::new(Some(Schema::from(text.build()))));
    OperationBuilder::new().summary(Some("Check that the process runs")).response("200", alive)
}

fn module() -> OperationBuilder {
    let text = ObjectBuilder::new().schema_type(Type::String);
    let module = ResponseBuilder::new()
        .description("The ES module with which pages watch tasks")
        .content("text/javascript; charset=utf-8", Content::new(Some(Schema::from(text.build()))));
    OperationBuilder::new()
        .summary(Some("Get the module for pages"))
        .response("200", module)
        .response("304", ResponseBuilder::new().description("The client has it"))
}

/// The common part of all operations that read or cancel tasks.
fn operation(settings: &Settings) -> OperationBuilder {
    let operation = OperationBuilder::new()
        .response("403", refusal("The Host, the page's origin or the ticket does not allow the request"))
        .response("405", refusal("The path does not allow the method"));
    match settings.access.mode {
        AccessMode::Open => operation,
        AccessMode::Protected => operation
            .securities(Some(["bearer", "ticket"].map(|name| SecurityRequirement::new(name, [""; 0]))))
            .response("401", refusal("The token or ticket is missing or not valid")),
    }
}

fn id() -> Parameter {
    let schema = ObjectBuilder::new()
        .schema_type(Type::String)
        .min_length(Some(1))
        .max_length(Some(MAX_ID))
        .pattern(Some(r"^[A-Za-z0-9_=.-]*[A-Za-z0-9_=-][A-Za-z0-9_=.-]*$"));
    ParameterBuilder::new()
        .name("id")
        .parameter_in(ParameterIn::Path)
        .required(Required::True)
        .description(Some("The task's id, as the create response gave it"))
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
        .description(Some(format!(
            "Seconds to wait for a change or the end, at most {most}; a longer wait is cut to that"
        )))
        .schema(Some(seconds));
    [wait.build(), header("Prefer", "wait=N (RFC 7240, 4.3); the query has precedence")]
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

/// A task's state. The upstream defines its JSON.
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
        .header("ETag", told("The tag of these bytes", Type::String))
        .header("Age", told("Seconds since the state was fetched", Type::Integer))
        .header("Cache-Status", told("Where the answer came from (RFC 9211)", Type::String))
        .header("Retry-After", told("Seconds until a new request is worth it", Type::Integer))
        .header(
            "Taskgate-Estimate",
            told(
                "`remaining=40; low=31; high=55`: seconds until the task is likely to end, where known",
                Type::String,
            ),
        )
        .build()
}

/// An error of the upstream, in its own form, or of the gateway.
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
        .description(Some("Seconds until a new request is worth it"));
    refusal.headers.insert("Retry-After".to_owned(), RefOr::T(wait.build()));
    refusal
}

fn anything() -> Content {
    Content::new(Some(utoipa::openapi::schema::empty()))
}

fn events() -> Content {
    Content::new(Some(ObjectBuilder::new().schema_type(Type::String)))
}
