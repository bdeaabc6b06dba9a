/* Opens the plugin as its host does, lets it hear of runs, and sends it what no host would send. */

#define _POSIX_C_SOURCE 200809L

#include <dlfcn.h>
#include <stdarg.h>
#include <unistd.h>

#include "json.h"
#include "pipeline_plugin.h"

static int failures;

#define CHECK(fact) check(fact, #fact, __LINE__)

static void check(bool fact, const char *text, int line)
{
    if (fact) return;
    fprintf(stderr, "test.c:%d: not so: %s\n", line, text);
    failures++;
}

static const pipeline_entry *entry;
static void *plugin;

/* What the plugin has said: how often, and what last. */
static int messages;
static char *last;
static size_t last_length;

static void receive(void *context, pipeline_bytes message)
{
    (void)context;
    messages++;
    free(last);
    last = malloc(message.len + 1);
    last_length = message.len;
    memcpy(last, message.data, message.len);
    CHECK(json_parse(last, last_length).at != NULL);
}

/* Sends a copy of exactly this length: a byte that is read behind it is one that valgrind finds. */
static void send_bytes(const char *bytes, size_t length)
{
    uint8_t *copy = malloc(length ? length : 1);
    memcpy(copy, bytes, length);
    messages = 0;
    entry->send(plugin, (pipeline_bytes){copy, length});
    free(copy);
}

/* How the one result of a call begins: `ok`, or the kind of its error. */
static bool answers(const char *wanted, const char *format, ...)
{
    char message[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    send_bytes(message, (size_t)length);
    struct json answer = json_parse(last, messages == 1 ? last_length : 0), body = json_get(answer, "body");
    if (!json_is(json_get(answer, "type"), "result")) return false;
    if (json_get(body, wanted).at) return true;
    return json_is(json_get(json_get(body, "error"), "kind"), wanted);
}

#define OPEN "{\"type\":\"open\",\"id\":2,\"body\":{\"kind\":\"%s\",\"notifier\":\"%s\",\"inputs\":{\"path\":%s}}}"
#define NOTIFY "{\"type\":\"notify\",\"id\":3,\"body\":{\"notifier\":\"n\",\"event\":{\"run\":\"%s\",\"seq\":0," \
               "\"at\":\"2026-01-01T00:00:0%dZ\",\"event\":%s}}}"
#define STARTED "\"run_started\",\"pipeline\":{\"name\":\"%s\",\"environment\":\"local\"},\"command\":\"run\""

static void test_runs(const char *log)
{
    char path[256], started[256];
    snprintf(path, sizeof path, "\"%s\"", log);
    CHECK(answers("ok", "{\"type\":\"hello\",\"id\":1,\"body\":{\"protocol\":1,\"host\":\"test\"}}"));
    struct json welcome = json_get(json_get(json_parse(last, last_length), "body"), "ok");
    CHECK(json_is(json_get(welcome, "name"), "notify-file"));
    CHECK(answers("failed", OPEN, "other", "n", path));
    CHECK(answers("input", OPEN, "file", "n", "\"\""));
    CHECK(answers("input", OPEN, "file", "n", "{\"$secret\":\"inputs.path\"}"));
    CHECK(answers("failed", NOTIFY, "run-1", 0, "\"warning\""));
    CHECK(answers("ok", OPEN, "file", "n", path));

    snprintf(started, sizeof started, STARTED, "hello");
    CHECK(answers("ok", NOTIFY, "run-1", 0, started));
    CHECK(answers("ok", NOTIFY, "run-1", 1, "\"stage_started\",\"stage\":\"a\""));
    /* A run that undoes an earlier one first. */
    snprintf(started, sizeof started, STARTED, "gr\\u00fc\xc3\x9f" "e");
    CHECK(answers("ok", NOTIFY, "run-2", 2, started));
    for (int twice = 0; twice < 2; twice++)
        CHECK(answers("ok", NOTIFY, "run-2", 3, "\"run_finished\",\"outcome\":\"rolled_back\",\"elapsed_ms\":1"));
    CHECK(answers("ok", NOTIFY, "run-1", 4, "\"run_finished\",\"outcome\":\"succeeded\""));
    /* The plugin may have been started in the middle of a run. */
    CHECK(answers("ok", NOTIFY, "run-3", 5, "\"run_finished\",\"outcome\":\"failed\""));
    CHECK(answers("failed", NOTIFY, "run-4", 6, "\"run_finished\",\"outcome\":7"));
    CHECK(answers("failed", NOTIFY, "run-4", 6, "\"run_started\",\"pipeline\":\"hello\""));

    char text[512] = "";
    FILE *file = fopen(log, "r");
    CHECK(file && fread(text, 1, sizeof text - 1, file) > 0);
    if (file) fclose(file);
    CHECK(strcmp(text, "2026-01-01T00:00:03Z grü\xc3\x9f" "e-local rolled_back\n"
                       "2026-01-01T00:00:04Z hello-local succeeded\n"
                       "2026-01-01T00:00:05Z - failed\n") == 0);

    CHECK(answers("ok", OPEN, "file", "n", "\"/none/such/file\""));
    CHECK(answers("failed", NOTIFY, "run-5", 7, "\"run_finished\",\"outcome\":\"failed\""));
    CHECK(answers("failed", "{\"type\":\"plan\",\"id\":8,\"body\":{}}"));
}

/* A message that is cut off anywhere, and one with any byte replaced, is answered at most once. */
static void test_damage(void)
{
    static const char bytes[] = {0, 1, ' ', '"', '\\', '{', '}', '[', ',', ':', '0', '-', 'e', 'u', 127, -128, -1, -16};
    static const char *const originals[] = {
        "{\"type\":\"hello\",\"id\":18446744073709551615,\"body\":{\"protocol\":1,\"host\":\"\\ud83d\\ude80\"}}",
        "{\"type\":\"open\",\"id\":2,\"body\":{\"kind\":\"file\",\"notifier\":\"n\","
        "\"inputs\":{\"path\":\"/none/such/x\"}}}",
        "{\"type\":\"notify\",\"id\":3,\"body\":{\"notifier\":\"n\",\"event\":{\"run\":\"r\",\"at\":\"t\","
        "\"event\":\"run_started\",\"pipeline\":{\"name\":\"a\",\"environment\":\"b\"}}}}",
        "{\"type\":\"notify\",\"id\":3,\"body\":{\"notifier\":\"n\",\"event\":{\"run\":\"r\",\"at\":\"t\","
        "\"event\":\"run_finished\",\"outcome\":\"failed\",\"left_over\":[-1.5e3,null,true]}}}",
    };
    for (size_t i = 0; i < sizeof originals / sizeof *originals; i++) {
        size_t length = strlen(originals[i]);
        char *damaged = malloc(length);
        for (size_t at = 0; at < length; at++) {
            send_bytes(originals[i], at);
            CHECK(messages == 1 && json_is(json_get(json_parse(last, last_length), "type"), "log"));
            memcpy(damaged, originals[i], length);
            for (size_t byte = 0; byte < sizeof bytes; byte++) {
                damaged[at] = bytes[byte];
                send_bytes(damaged, length);
                CHECK(messages <= 1);
            }
        }
        free(damaged);
    }
    size_t deep = 1 << 20;
    char *nested = malloc(deep);
    memset(nested, '[', deep);
    send_bytes(nested, deep);
    CHECK(messages == 1);
    free(nested);
}

int main(int count, char **arguments)
{
    if (count != 2) {
        fprintf(stderr, "usage: %s LIBRARY\n", arguments[0]);
        return 2;
    }
    void *library = dlopen(arguments[1], RTLD_NOW | RTLD_LOCAL);
    entry = library ? dlsym(library, PIPELINE_ENTRY_SYMBOL) : NULL;
    if (!entry) {
        fprintf(stderr, "%s\n", dlerror());
        return 1;
    }
    const uint8_t magic[] = PIPELINE_MAGIC;
    CHECK(memcmp(entry->magic, magic, sizeof magic) == 0);
    CHECK(entry->abi_major == PIPELINE_ABI_MAJOR && entry->size >= sizeof *entry && entry->flags == 0);
    pipeline_host host = {sizeof host, 0, NULL, receive};
    plugin = entry->open(&host);
    CHECK(plugin != NULL);
    char log[] = "/tmp/notify-file-test-XXXXXX";
    int file = mkstemp(log);
    CHECK(file >= 0);
    if (plugin && file >= 0) {
        close(file);
        test_runs(log);
        test_damage();
        entry->close(plugin);
        unlink(log);
    }
    free(last);
    if (failures == 0) puts("all is well");
    return failures != 0;
}
