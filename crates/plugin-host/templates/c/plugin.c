/* The notifier `{{kind}}`: appends one line for each event of a run to a file. */

#define _POSIX_C_SOURCE 200809L

#include <errno.h>
#include <fcntl.h>
#include <inttypes.h>
#include <unistd.h>

#include "json.h"
#include "pipeline_plugin.h"

/* What the plugin says of itself. `pipeline plugin check` tries it with the first of `examples`. */
static const char WELCOME[] =
    "{\"protocol\":1,\"name\":\"{{name}}\",\"version\":\"0.1.0\",\"stages\":[],\"notifiers\":["
    "{\"kind\":\"{{kind}}\",\"summary\":\"Appends one line for each event to a file\",\"events\":[],"
    "\"inputs\":{\"type\":\"object\",\"additionalProperties\":false,\"required\":[\"path\"],"
    "\"examples\":[{\"path\":\"/tmp/{{name}}.log\"}],"
    "\"properties\":{\"path\":{\"type\":\"string\",\"minLength\":1,"
    "\"description\":\"The file, best from the root. It is made if there is none; its folder has to be there.\"}"
    "}}}]}";

/* A notifier that was opened: `[notify.NAME]` of a pipeline. */
struct notifier {
    struct notifier *next;
    char *name; /* what the host calls it */
    char *path;
};

/* What `open` returns. `send` is called from one thread at a time, so nothing here needs a lock. */
struct plugin {
    const pipeline_host *host;
    struct notifier *notifiers;
};

/* A message in the making. */
struct message {
    FILE *out; /* null if there is no memory */
    char *text;
    size_t length;
};

/* The message must not move until it was sent. */
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

/* The call has worked; `value` is JSON. */
static void succeed(const struct plugin *plugin, uint64_t id, const char *value)
{
    struct message message;
    if (begin(&message, "result", id)) fprintf(message.out, "{\"ok\":%s}", value);
    finish(plugin, &message, id);
}

/* The call has not worked: `what` has happened, to or because of `whom` if that is not null. `kind` is `failed`,
 * `retryable` if trying again may help, or `input` if `what` is an input and `whom` says what is wrong with it. */
static void fail(const struct plugin *plugin, uint64_t id, const char *kind, const char *what, const char *whom)
{
    struct message message;
    if (begin(&message, "result", id)) {
        bool input = strcmp(kind, "input") == 0;
        fprintf(message.out, "{\"error\":{\"kind\":\"%s\",\"message\":\"", kind);
        if (!input) json_put(message.out, what);
        if (!input && whom) fputs(": ", message.out);
        if (whom) json_put(message.out, whom);
        fprintf(message.out, input ? "\",\"field\":\"%s\"}}" : "\"}}", what);
    }
    finish(plugin, &message, id);
}

static void hello(const struct plugin *plugin, uint64_t id, struct json body)
{
    uint64_t protocol;
    if (json_whole(json_get(body, "protocol"), &protocol) && protocol >= PIPELINE_PROTOCOL)
        succeed(plugin, id, WELCOME);
    else
        fail(plugin, id, "failed", "the host speaks no version of the protocol that the plugin knows", NULL);
}

static struct notifier *find(const struct plugin *plugin, const char *name)
{
    struct notifier *notifier = plugin->notifiers;
    while (notifier && strcmp(notifier->name, name) != 0) notifier = notifier->next;
    return notifier;
}

static void open_notifier(struct plugin *plugin, uint64_t id, struct json body)
{
    char *kind = json_text(json_get(body, "kind"));
    char *name = json_text(json_get(body, "notifier"));
    char *path = json_text(json_get(json_get(body, "inputs"), "path"));
    struct notifier *notifier = name ? find(plugin, name) : NULL;
    if (!kind || strcmp(kind, "{{kind}}") != 0) {
        fail(plugin, id, "failed", "the plugin has no such notifier", kind);
    } else if (!name) {
        fail(plugin, id, "failed", "the notifier has no name", NULL);
    } else if (!path || !*path) {
        fail(plugin, id, "input", "path", "write the path of a file");
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
        fail(plugin, id, "failed", "there is no memory", NULL);
    }
    free(kind);
    free(name);
    free(path);
}

/* Appends a line. The number of the error, or 0. */
static int append(const char *path, const char *at, const char *run, const char *event)
{
    int file = open(path, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0644);
    if (file < 0) return errno;
    int error = dprintf(file, "%s %s %s\n", at, run, event) < 0 ? errno : 0;
    return close(file) != 0 && error == 0 ? errno : error;
}

static void notify(const struct plugin *plugin, uint64_t id, struct json body)
{
    char *name = json_text(json_get(body, "notifier"));
    const struct notifier *notifier = name ? find(plugin, name) : NULL;
    struct json event = json_get(body, "event");
    char *at = json_text(json_get(event, "at"));
    char *run = json_text(json_get(event, "run"));
    char *what = json_text(json_get(event, "event"));
    if (!notifier) {
        fail(plugin, id, "failed", "this notifier was not opened", name);
    } else if (!at || !run || !what) {
        fail(plugin, id, "failed", "the event lacks `at`, `run` or `event`", NULL);
    } else {
        int error = append(notifier->path, at, run, what);
        char reason[256] = "unknown error";
        if (error) strerror_r(error, reason, sizeof reason);
        /* A full disk may have room again; what is missing or forbidden stays so. */
        bool may_help = error == ENOSPC || error == EDQUOT || error == EMFILE || error == ENFILE || error == EINTR;
        if (error)
            fail(plugin, id, may_help ? "retryable" : "failed", notifier->path, reason);
        else
            succeed(plugin, id, "null");
    }
    free(name);
    free(at);
    free(run);
    free(what);
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
    uint64_t id;
    bool numbered = json_whole(json_get(message, "id"), &id);
    if (!type || !numbered) {
        struct message log;
        if (begin(&log, "log", 0))
            fputs("{\"level\":\"warning\",\"message\":\"the host sent what is no message\"}", log.out);
        finish(plugin, &log, id);
    } else if (strcmp(type, "hello") == 0) {
        hello(plugin, id, body);
    } else if (strcmp(type, "open") == 0) {
        open_notifier(plugin, id, body);
    } else if (strcmp(type, "notify") == 0) {
        notify(plugin, id, body);
    } else if (strcmp(type, "cancel") != 0 && strcmp(type, "answer") != 0) {
        /* No call is open when a message comes, so there is nothing to cancel; and nothing was asked. */
        fail(plugin, id, "failed", "the plugin does not know this call", type);
    }
    free(type);
}

static void close_plugin(void *opened)
{
    struct plugin *plugin = opened;
    for (struct notifier *notifier = plugin->notifiers, *next; notifier; notifier = next) {
        next = notifier->next;
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
