# Varnish as an expert would configure it before a task API. The benchmark changes only the origin's port. The
# command line in subject.rs sets one thread pool, malloc storage of the size of taskgate's cache.max_bytes,
# and no log in memory.
vcl 4.1;

backend origin {
    .host = "127.0.0.1";
    .port = "8788";
    # The timeouts of taskgate. Varnish keeps connections open by default.
    .connect_timeout = 3s;
    .first_byte_timeout = 10s;
    .between_bytes_timeout = 10s;
}

sub vcl_recv {
    if (req.method != "GET" && req.method != "HEAD") {
        return (synth(405));
    }
    # A query is not part of a task's name, and nothing of the client's goes upstream.
    set req.url = regsub(req.url, "\?.*$", "");
    unset req.http.Authorization;
    unset req.http.Cookie;
    # Request collapsing comes with the look-up.
    return (hash);
}

sub vcl_hash {
    hash_data(req.url);
    return (lookup);
}

sub vcl_backend_fetch {
    # The key is added here.
    set bereq.http.Authorization = "Bearer sk-bench";
    set bereq.http.Host = "127.0.0.1";
    return (fetch);
}

sub vcl_backend_response {
    if (beresp.status == 429 || beresp.status >= 500) {
        # The stored state stands in.
        if (bereq.is_bgfetch) {
            return (abandon);
        }
        # A refusal is kept for a second, so that the clients that wait for one task do not go upstream one by
        # one.
        set beresp.ttl = 1s;
        set beresp.grace = 0s;
        return (deliver);
    }
    # The time to live is the origin's Cache-Control: 1 h for finished tasks, 2 s for others. An expired state
    # stands in during its refresh, and while the origin cannot answer, for the time of taskgate's
    # cache.stale_for.
    set beresp.grace = 10m;
    return (deliver);
}

sub vcl_deliver {
    # The head that taskgate sends. Age is Varnish's own.
    if (obj.hits > 0) {
        set resp.http.Cache-Status = "varnish; hit";
    } else {
        set resp.http.Cache-Status = "varnish; fwd=miss";
    }
    set resp.http.Cache-Control = "private, no-cache";
    set resp.http.Vary = "accept, prefer, origin";
    set resp.http.Access-Control-Expose-Headers = "etag,age,retry-after,cache-status,preference-applied,x-request-id";
    set resp.http.Referrer-Policy = "no-referrer";
    set resp.http.X-Content-Type-Options = "nosniff";
    set resp.http.X-Request-Id = req.xid;
    unset resp.http.X-Varnish;
    unset resp.http.Via;
    unset resp.http.Accept-Ranges;
    return (deliver);
}
