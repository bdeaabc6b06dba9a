/* The notifier `file`: appends one line for each run that has finished to a file: when, which pipeline, how. */

#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "json.h"
#include "pipeline_plugin.h"

static const char WELCOME[] =
    "{\"protocol\":1,\"name\":\"notify-file\",\"version\":\"0.1.0\",\"stages\":[],\"notifiers\":["
    "{\"kind\":\"file\",\"summary\":\"Appends one line for each run that has finished to a file\","
    "\"events\":[\"run_started\",\"run_finished\"],"
    "\"inputs\":{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"path\"],"
    "\"examples\":[{\"path\":\"/tmp/pipeline-runs.log\"}],"
    "\"properties\":{\"path\":{\"type\":\"string\",\"minLength\":1,"
    "\"description\":\"The file, best from the root. It is made if there is none; its folder has to be there.\"}"
    "}}}]}";

/* A run of which the start was told: only that event says which pipeline it is. */
struct run {
    struct run *next;
    char *id;
    char *pipeline;
    bool written; /* its line is in the file: an event may come twice */
};

/* A notifier that was opened. */
struct notifier {
    struct notifier *next;
    char *name;
    char *path;
    struct run *runs;
};

struct plugin {
    const pipeline_host *host;
    struct notifier *notifiers;
};

/* A message in the making. It must not move until it was sent. */
struct message {
    FILE *out; /* null if there is no memory */
    char *text;
    size_t length;
};

static bool begin(struct message *message, const char *type, uint64_t id)
{
    *message = (struct message){0};
    message->out = open_memstream(&message->text, &message->length);
    return message->out && fprintf(message->out, "{\"type\":\"%s\",\"id\":%" PRIu64 ",\"body\":", type, id) > 0;
}

static void finish(const struct plugin *plugin, struct message *message, uint64_t id)
{
    char last[128];
    const char *text = last;
    bool whole = message->out && fputc('}', message->out) == '}' && !ferror(message->out);
    if (message->out && fclose(message->out) != 0) whole = false;
    /* A call gets its result in any case. */
    int length = snprintf(last, sizeof last, "{\"type\":\"result\",\"id\":%" PRIu64 ",\"body\":{\"error\":"
                          "{\"kind\":\"failed\",\"message\":\"there is no memory\"}}}", id);
    if (whole) text = message->text;
    pipeline_bytes bytes = {(const uint8_t *)text, whole ? message->length : (size_t)length};
    plugin->host->receive(plugin->host->context, bytes);
    free(message->text);
}

static void succeed(const struct plugin *plugin, uint64_t id, const char *value)
{
    struct message message;
    if (begin(&message, "result", id)) fprintf(message.out, "{\"ok\":%s}", value);
    finish(plugin, &message, id);
}

static void fail(const struct plugin *plugin, uint64_t id, const char *kind, const char *what, const char *whom)
{
    struct message message;
    if (begin(&message, "result", id)) {
        fprintf(message.out, "{\"error\":{\"kind\":\"%s\",\"message\":\"", kind);
        json_put(message.out, what);
        if (whom) fputs(": ", message.out);
        if (whom) json_put(message.out, whom);
        /* There is one input. */
        fputs(strcmp(kind, "input") == 0 ? "\",\"field\":\"path\"}}" : "\"}}", message.out);
    }
    finish(plugin, &message, id);
}

static void no_memory(const struct plugin *plugin, uint64_t id)
{
    fail(plugin, id, "retryable", "there is no memory", NULL);
}

static struct notifier *find(const struct plugin *plugin, const char *name)
{
    struct notifier *notifier = plugin->notifiers;
    while (notifier && strcmp(notifier->name, name) != 0) notifier = notifier->next;
    return notifier;
}

static void open_notifier(struct plugin *plugin, uint64_t id, struct json body)
{
    char *name = json_text(json_get(body, "notifier"));
    char *path = json_text(json_get(json_get(body, "inputs"), "path"));
    struct notifier *notifier = name ? find(plugin, name) : NULL;
    if (!json_is(json_get(body, "kind"), "file")) {
        fail(plugin, id, "failed", "the plugin has only the notifier `file`", NULL);
    } else if (!name) {
        fail(plugin, id, "failed", "the notifier has no name", NULL);
    } else if (!path || !*path) {
        fail(plugin, id, "input", "write the path of a file", NULL);
    } else if (notifier || (notifier = calloc(1, sizeof *notifier))) {
        if (!notifier->name) {
            notifier->name = name;
            notifier->next = plugin->notifiers;
            plugin->notifiers = notifier;
            name = NULL;
        }
        /* Opened once more, it has the new inputs. */
        free(notifier->path);
        notifier->path = path;
        path = NULL;
        succeed(plugin, id, "null");
    } else {
        no_memory(plugin, id);
    }
    free(name);
    free(path);
}

/* The run of this id, which is remembered from now on; null if there is no memory. */
static struct run *remember(struct notifier *notifier, const char *id)
{
    struct run *run = notifier->runs;
    while (run && strcmp(run->id, id) != 0) run = run->next;
    if (run || !(run = calloc(1, sizeof *run))) return run;
    run->id = strdup(id);
    if (!run->id) {
        free(run);
        return NULL;
    }
    run->next = notifier->runs;
    notifier->runs = run;
    return run;
}

static void run_started(const struct plugin *plugin, uint64_t id, struct run *run, struct json event)
{
    struct json pipeline = json_get(event, "pipeline");
    char *name = json_text(json_get(pipeline, "name"));
    char *environment = json_text(json_get(pipeline, "environment"));
    size_t size = name && environment ? strlen(name) + strlen(environment) + 2 : 0;
    char *both = size ? malloc(size) : NULL;
    if (both) {
        snprintf(both, size, "%s-%s", name, environment);
        free(run->pipeline);
        run->pipeline = both;
        succeed(plugin, id, "null");
    } else if (size) {
        no_memory(plugin, id);
    } else {
        fail(plugin, id, "failed", "the event does not say which pipeline it is", NULL);
    }
    free(name);
    free(environment);
}

/* Appends a line. The number of the error, or 0. */
static int append(const char *path, const char *at, const char *pipeline, const char *outcome)
{
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0) return errno;
    int error = dprintf(file, "%s %s %s\n", at, pipeline, outcome) < 0 ? errno : 0;
    return close(file) != 0 && error == 0 ? errno : error;
}

static void run_finished(const struct plugin *plugin, uint64_t id, const char *path, struct run *run, struct json event)
{
    char *at = json_text(json_get(event, "at"));
    char *outcome = json_text(json_get(event, "outcome"));
    if (!at || !outcome) {
        fail(plugin, id, "failed", "the event lacks `at` or `outcome`", NULL);
    } else {
        int error = run->written ? 0 : append(path, at, run->pipeline ? run->pipeline : "-", outcome);
        char reason[256] = "unknown error";
        if (error) strerror_r(error, reason, sizeof reason);
        /* A full disk may have room again; what is missing or forbidden stays so. */
        bool may_help = error == ENOSPC || error == EDQUOT || error == EMFILE || error == ENFILE || error == EINTR;
        run->written = error == 0;
        if (error)
            fail(plugin, id, may_help ? "retryable" : "failed", path, reason);
        else
            succeed(plugin, id, "null");
    }
    free(at);
    free(outcome);
}

static void notify(const struct plugin *plugin, uint64_t id, struct json body)
{
    struct json event = json_get(body, "event"), what = json_get(event, "event");
    char *name = json_text(json_get(body, "notifier"));
    char *run_id = json_text(json_get(event, "run"));
    struct notifier *notifier = name ? find(plugin, name) : NULL;
    bool started = json_is(what, "run_started"), finished = json_is(what, "run_finished");
    struct run *run = NULL;
    if (!notifier)
        fail(plugin, id, "failed", "this notifier was not opened", name);
    else if (!what.at || !run_id)
        fail(plugin, id, "failed", "the event lacks `event` or `run`", NULL);
    else if (!started && !finished)
        succeed(plugin, id, "null");
    else if (!(run = remember(notifier, run_id)))
        no_memory(plugin, id);
    else if (started)
        run_started(plugin, id, run, event);
    else
        run_finished(plugin, id, notifier->path, run, event);
    free(name);
    free(run_id);
}

static void *open_plugin(const pipeline_host *host)
{
    if (!host || host->size < sizeof *host) return NULL;
    struct plugin *plugin = calloc(1, sizeof *plugin);
    if (plugin) plugin->host = host;
    return plugin;
}

static void take_message(void *opened, pipeline_bytes bytes)
{
    struct plugin *plugin = opened;
    struct json message = json_parse(bytes.data, bytes.len), body = json_get(message, "body");
    char *type = json_text(json_get(message, "type"));
    uint64_t id, protocol;
    bool numbered = json_whole(json_get(message, "id"), &id);
    if (!type || !numbered) {
        struct message log;
        if (begin(&log, "log", 0))
            fputs("{\"level\":\"warning\",\"message\":\"the host sent what is no message\"}", log.out);
        finish(plugin, &log, id);
    } else if (strcmp(type, "hello") == 0) {
        if (json_whole(json_get(body, "protocol"), &protocol) && protocol >= PIPELINE_PROTOCOL)
            succeed(plugin, id, WELCOME);
        else
            fail(plugin, id, "failed", "the host speaks no version of the protocol that the plugin knows", NULL);
    } else if (strcmp(type, "open") == 0) {
        open_notifier(plugin, id, body);
    } else if (strcmp(type, "notify") == 0) {
        notify(plugin, id, body);
    } else if (strcmp(type, "cancel") != 0 && strcmp(type, "answer") != 0) {
        fail(plugin, id, "failed", "the plugin does not know this call", type);
    }
    free(type);
}

static void close_plugin(void *opened)
{
    struct plugin *plugin = opened;
    for (struct notifier *notifier = plugin->notifiers, *next; notifier; notifier = next) {
        next = notifier->next;
        for (struct run *run = notifier->runs, *later; run; run = later) {
            later = run->next;
            free(run->id);
            free(run->pipeline);
            free(run);
        }
        free(notifier->name);
        free(notifier->path);
        free(notifier);
    }
    free(plugin);
}

const pipeline_entry PIPELINE_PLUGIN_ENTRY_V1 = {
    .magic = PIPELINE_MAGIC,
    .abi_major = PIPELINE_ABI_MAJOR,
    .abi_minor = PIPELINE_ABI_MINOR,
    .size = sizeof(pipeline_entry),
    .open = open_plugin,
    .send = take_message,
    .close = close_plugin,
};
