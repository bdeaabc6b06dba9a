/* A plugin that misbehaves, in the way that is chosen when it is compiled: -DWAY=... (see the list below). Its stage
 * `hostile` makes one thing, and writes into a file of the pipeline's folder what it was asked to do. */

#define _GNU_SOURCE

#include <inttypes.h>
#include <pthread.h>
#include <stdlib.h>
#include <time.h>
#include <unistd.h>

#include "json.h"
#include "pipeline_plugin.h"

enum {
    GOOD,
    /* The table. */
    WRONG_MAGIC, TRUNCATED, NEWER_MINOR, OLDER_MAJOR, NEWER_MAJOR, NO_FUNCTION, REFUSES, MUTE,
    /* What `apply` does. */
    NEVER, TWICE, LATE, GARBAGE, WRONG_RESULT, HUGE_MESSAGE, PRINTS, EXITS, CRASHES, OVERSTEPS, LEAKS, BLOCKS,
    FOREIGN_ID,
    /* It says that it is prompt, and is not. */
    SAYS_PROMPT, HESITATES, TIRES
};

static const char WELCOME[] =
    "{\"protocol\":1,\"name\":\"hostile\",\"version\":\"1\",\"stages\":[{\"kind\":\"hostile\",\"summary\":\"Misbehaves\","
    "\"grace_seconds\":1,\"inputs\":{\"type\":\"object\",\"additionalProperties\":false,\"properties\":{"
    "\"token\":{\"type\":\"string\",\"x-secret\":true,\"description\":\"a secret\"}}},"
    "\"outputs\":{\"type\":\"object\",\"properties\":{\"word\":{\"type\":\"string\"}}}}]}";

static const char THING[] = "{\"kind\":\"test:thing\",\"name\":\"one\"}";
static const char OTHER[] = "{\"kind\":\"test:thing\",\"name\":\"another\"}";

struct plugin {
    const pipeline_host *host;
    uint64_t apply; /* the open call */
    char *folder; /* of the pipeline */
    char secret[256];
};

static void say(const struct plugin *plugin, const char *type, uint64_t id, const char *body)
{
    char *text;
    int length = asprintf(&text, "{\"type\":\"%s\",\"id\":%" PRIu64 ",\"body\":%s}", type, id, body);
    plugin->host->receive(plugin->host->context, (pipeline_bytes){(const uint8_t *)text, (size_t)length});
    free(text);
}

static void answer(const struct plugin *plugin, uint64_t id, const char *word)
{
    char body[512];
    snprintf(body, sizeof body, "{\"ok\":{\"values\":{\"word\":\"%s\"},\"resources\":[]}}", word);
    say(plugin, "result", id, body);
}

static void succeed(const struct plugin *plugin, uint64_t id)
{
    answer(plugin, id, plugin->secret[0] ? plugin->secret : "done");
}

static void ask(const struct plugin *plugin, uint64_t id, const char *service, const char *more)
{
    char body[512];
    snprintf(body, sizeof body, "{\"call\":%" PRIu64 ",\"service\":\"%s\",%s}", plugin->apply, service, more);
    say(plugin, "ask", id, body);
}

static void write_down(const char *folder, const char *word)
{
    char path[4096];
    snprintf(path, sizeof path, "%s/calls", folder);
    FILE *file = fopen(path, "a");
    if (!file) return;
    fprintf(file, "%s\n", word);
    fclose(file);
}

static void *complete_later(void *given)
{
    struct plugin *plugin = given;
    nanosleep(&(struct timespec){.tv_sec = 3}, NULL);
    ask(plugin, 4, "intent", "\"intent\":{\"resource\":{\"kind\":\"test:thing\",\"name\":\"one\"},\"action\":\"create\"}");
    succeed(plugin, plugin->apply);
    write_down(plugin->folder, "late");
    return NULL;
}

static void misbehave(struct plugin *plugin)
{
    static int applied;
    pthread_t thread;
    char *huge;
    (void)applied;
    switch (WAY) {
    case NEVER: return;
    case TWICE: succeed(plugin, plugin->apply); answer(plugin, plugin->apply, "again"); return;
    case LATE: pthread_create(&thread, NULL, complete_later, plugin); return;
    case GARBAGE: plugin->host->receive(plugin->host->context, (pipeline_bytes){(const uint8_t *)"{\"type\":\xff", 9}); return;
    case WRONG_RESULT: say(plugin, "result", plugin->apply, "{\"ok\":[1,2]}"); return;
    case HUGE_MESSAGE:
        huge = malloc((size_t)100 << 20);
        memset(huge, '[', (size_t)100 << 20);
        plugin->host->receive(plugin->host->context, (pipeline_bytes){(const uint8_t *)huge, (size_t)100 << 20});
        free(huge);
        return;
    case PRINTS: puts("this is no message"); fflush(stdout); break;
    case EXITS: exit(7);
    case CRASHES: *(volatile int *)8 = 1; break;
    case BLOCKS: case SAYS_PROMPT: for (;;) pause();
    case TIRES: if (++applied > 20) for (;;) pause(); break;
    case HESITATES: nanosleep(&(struct timespec){.tv_nsec = 150000000}, NULL); break;
    case FOREIGN_ID: say(plugin, "result", 424242, "{\"ok\":null}"); break;
    default: break;
    }
    succeed(plugin, plugin->apply);
}

/* Writes down a call, into the folder that it names. */
static void called(struct plugin *plugin, struct json body, const char *word)
{
    free(plugin->folder);
    plugin->folder = json_text(json_get(json_get(body, "context"), "directory"));
    if (plugin->folder) write_down(plugin->folder, word);
}

static void take(struct plugin *plugin, uint64_t id, struct json type, struct json body)
{
    if (json_is(type, "hello")) {
        char *welcome;
        if (asprintf(&welcome, "{\"ok\":%s}", WELCOME) < 0) return;
        if (WAY != MUTE) say(plugin, "result", id, welcome);
        free(welcome);
    } else if (json_is(type, "plan")) {
        char plan[512];
        snprintf(plan, sizeof plan, "{\"ok\":{\"changes\":[{\"resource\":%s,\"action\":\"create\"}],\"outputs\":{}}}", THING);
        say(plugin, "result", id, plan);
    } else if (json_is(type, "apply")) {
        char intent[256];
        plugin->apply = id;
        called(plugin, body, "apply");
        snprintf(intent, sizeof intent, "\"intent\":{\"resource\":%s,\"action\":\"create\"}", WAY == OVERSTEPS ? OTHER : THING);
        ask(plugin, 1, "intent", intent);
    } else if (json_is(type, "rollback")) {
        called(plugin, body, "rollback");
        say(plugin, "result", id, "{\"ok\":null}");
    } else if (json_is(type, "answer") && id == 1) {
        if (WAY == LEAKS)
            ask(plugin, 2, "secret", "\"reference\":\"inputs.token\"");
        else
            ask(plugin, 3, "done", "\"intent\":0,\"after\":{}");
    } else if (json_is(type, "answer") && id == 2) {
        char *secret = json_text(json_get(body, "ok")), progress[512];
        snprintf(plugin->secret, sizeof plugin->secret, "%s", secret ? secret : "");
        free(secret);
        snprintf(progress, sizeof progress, "{\"message\":\"the secret is %s\"}", plugin->secret);
        say(plugin, "progress", plugin->apply, progress);
        ask(plugin, 3, "done", "\"intent\":0,\"after\":{}");
    } else if (json_is(type, "answer") && id == 3) {
        misbehave(plugin);
    }
}

static void *open_plugin(const pipeline_host *host)
{
    struct plugin *plugin = WAY == REFUSES ? NULL : calloc(1, sizeof *plugin);
    if (plugin) plugin->host = host;
    return plugin;
}

static void send_message(void *plugin, pipeline_bytes message)
{
    struct json whole = json_parse(message.data, message.len);
    uint64_t id;
    if (json_whole(json_get(whole, "id"), &id)) take(plugin, id, json_get(whole, "type"), json_get(whole, "body"));
}

static void close_plugin(void *plugin)
{
    /* The thread of LATE still needs it. */
    (void)plugin;
}

/* The table of a later version: the same, and something behind it. */
struct later_entry {
    pipeline_entry entry;
    void (*later)(void);
};

__attribute__((visibility("default"))) extern const struct later_entry LATER __asm__("PIPELINE_PLUGIN_ENTRY_V1");

const struct later_entry LATER = {
    .entry = {
        .magic = {WAY == WRONG_MAGIC ? 'X' : 'P', 'I', 'P', 'E', 'L', 'I', 'N', 'E'},
        .abi_major = WAY == OLDER_MAJOR ? 0 : WAY == NEWER_MAJOR ? 2 : PIPELINE_ABI_MAJOR,
        .abi_minor = WAY == NEWER_MINOR ? 9 : PIPELINE_ABI_MINOR,
        .size = WAY == TRUNCATED ? 24 : WAY == NEWER_MINOR ? sizeof(struct later_entry) : sizeof(pipeline_entry),
        .flags = WAY >= SAYS_PROMPT ? PIPELINE_PROMPT : 0,
        .open = open_plugin,
        .send = WAY == NO_FUNCTION ? NULL : send_message,
        .close = close_plugin,
    },
};
