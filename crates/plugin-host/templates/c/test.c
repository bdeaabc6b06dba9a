/* Opens the plugin as its host does, calls it, and sends it what no host would send. */

#define _POSIX_C_SOURCE 200809L

#include <dlfcn.h>
#include <inttypes.h>
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

/* What the plugin has said: how often, and what last. */
struct heard {
    int messages;
    char *last;
    size_t length;
};

static void receive(void *context, pipeline_bytes message)
{
    struct heard *heard = context;
    heard->messages++;
    free(heard->last);
    heard->last = malloc(message.len + 1);
    heard->length = message.len;
    memcpy(heard->last, message.data, message.len);
    CHECK(json_parse(heard->last, heard->length).at != NULL);
}

static const pipeline_entry *entry;
static struct heard heard;
static void *plugin;

/* Sends a copy of exactly this length: a byte that is read behind it is one that valgrind finds. */
static void send_bytes(const char *bytes, size_t length)
{
    uint8_t *copy = malloc(length ? length : 1);
    memcpy(copy, bytes, length);
    heard.messages = 0;
    entry->send(plugin, (pipeline_bytes){copy, length});
    free(copy);
}

/* Sends a message and returns the body of its result; nothing if there is not exactly one. */
static struct json call(const char *format, ...)
{
    char message[4096];
    va_list arguments;
    va_start(arguments, format);
    int length = vsnprintf(message, sizeof message, format, arguments);
    va_end(arguments);
    send_bytes(message, (size_t)length);
    struct json answer = json_parse(heard.last, heard.messages == 1 ? heard.length : 0);
    uint64_t asked = 0, answered = 1;
    json_whole(json_get(json_parse(message, (size_t)length), "id"), &asked);
    json_whole(json_get(answer, "id"), &answered);
    return json_is(json_get(answer, "type"), "result") && asked == answered ? json_get(answer, "body")
                                                                            : (struct json){NULL, NULL};
}

static bool worked(struct json body)
{
    return json_get(body, "ok").at != NULL;
}

static bool failed(struct json body, const char *kind)
{
    struct json error = json_get(body, "error");
    char *message = json_text(json_get(error, "message"));
    bool says = message && *message;
    free(message);
    return says && json_is(json_get(error, "kind"), kind);
}

static void test_entry(void)
{
    CHECK(memcmp(entry->magic, "PIPELINE", 8) == 0);
    CHECK(entry->abi_major == PIPELINE_ABI_MAJOR);
    CHECK(entry->size >= sizeof(pipeline_entry));
    CHECK(entry->flags == 0 && entry->reserved == 0);
    CHECK(entry->open && entry->send && entry->close);
    CHECK(entry->open(NULL) == NULL);
    pipeline_host cut_off = {8, 0, NULL, NULL};
    CHECK(entry->open(&cut_off) == NULL);
}

static void test_calls(const char *log)
{
    const char *hello = "{\"type\":\"hello\",\"id\":1,\"body\":{\"protocol\":%d,\"host\":\"a\"}}";
    CHECK(json_is(json_get(json_get(call(hello, 1), "ok"), "name"), "{{name}}"));
    CHECK(failed(call(hello, 0), "failed"));

    const char *open = "{\"body\" : {\"kind\":\"%s\",\"later\":[{}],\"notifier\":\"n-1\",\"inputs\":{\"path\":%s}},"
                       "\"id\":18446744073709551615, \"type\":\"\\u006fpen\"}\n";
    CHECK(failed(call(open, "other", "\"a\""), "failed"));
    CHECK(failed(call(open, "{{kind}}", "7"), "input"));
    CHECK(failed(call(open, "{{kind}}", "\"a\\u0000b\""), "input"));
    CHECK(worked(call(open, "{{kind}}", "\"/\\u006eone/at/all\"")));

    const char *notify = "{\"type\":\"notify\",\"id\":7,\"body\":{\"notifier\":\"%s\",\"event\":{\"run\":\"r\","
                         "\"seq\":0,\"at\":\"2026-01-01T00:00:00Z\",\"event\":\"%s\","
                         "\"left_over\":[\"\\ud83d\\ude80 }\"]}}}";
    CHECK(failed(call(notify, "n-1", "run_started"), "failed"));
    CHECK(failed(call(notify, "n-2", "run_started"), "failed"));
    char path[256];
    snprintf(path, sizeof path, "\"%s\"", log);
    CHECK(worked(call(open, "{{kind}}", path)));
    CHECK(worked(call(notify, "n-1", "run_started")));
    CHECK(worked(call(notify, "n-1", "run_finished")));

    char text[256] = "";
    FILE *file = fopen(log, "r");
    CHECK(file && fread(text, 1, sizeof text - 1, file) > 0);
    if (file) fclose(file);
    CHECK(strcmp(text, "2026-01-01T00:00:00Z r run_started\n2026-01-01T00:00:00Z r run_finished\n") == 0);

    CHECK(failed(call("{\"type\":\"plan\",\"id\":8,\"body\":{\"kind\":\"x\"}}"), "failed"));
    CHECK(failed(call("{\"type\":\"of \\\"later\\\" \\n\",\"id\":9,\"body\":null}"), "failed"));
    CHECK(failed(call("{\"type\":\"notify\",\"id\":10}"), "failed"));
    CHECK(failed(call("{\"type\":\"open\",\"id\":11,\"body\":[1,2]}"), "failed"));
    call("{\"type\":\"cancel\",\"id\":7,\"body\":null}");
    CHECK(heard.messages == 0);
}

/* None of these is a message: each is told of in the log, and nothing else happens. */
static void test_garbage(void)
{
    static const char *const garbage[] = {
        "", " ", "null", "{", "}", "[]", "\"", "\"a", "{}", "{}{}", "{\"type\"}", "{\"type\":}", "{,}", "[1,]", "\xff",
        "{\"type\":\"hello\",\"id\":-1,\"body\":{}}",
        "{\"type\":\"hello\",\"id\":1.0,\"body\":{}}",
        "{\"type\":\"hello\",\"id\":01,\"body\":{}}",
        "{\"type\":\"hello\",\"id\":1e999,\"body\":{}}",
        "{\"type\":\"hello\",\"id\":18446744073709551616,\"body\":{}}",
        "{\"type\":\"hello\",\"id\":99999999999999999999999999999999999999,\"body\":{}}",
        "{\"type\":\"hello\",\"id\":\"1\",\"body\":{}}",
        "{\"type\":\"hello\",\"body\":{}}",
        "{\"type\":1,\"id\":1,\"body\":{}}",
        "{\"type\":null,\"id\":1,\"body\":{}}",
        "{\"type\":[\"hello\"],\"id\":1,\"body\":{}}",
        "{\"type\":\"\\u0000\",\"id\":1,\"body\":{}}",
        "{\"type\":\"\\ud800\",\"id\":1,\"body\":{}}",
        "{\"type\":\"\\udc00\\ud800\",\"id\":1,\"body\":{}}",
        "{\"type\":\"\\ud800\\u0041\",\"id\":1,\"body\":{}}",
        "{\"type\":\"\\x\",\"id\":1,\"body\":{}}",
        "{\"type\":\"\\u12g4\",\"id\":1,\"body\":{}}",
        "{\"type\":\"a\tb\",\"id\":1,\"body\":{}}",
        "{\"type\":\"\xc0\xaf\",\"id\":1,\"body\":{}}",
        "{\"type\":\"\xed\xa0\x80\",\"id\":1,\"body\":{}}",
        "{\"type\":\"\xf4\x90\x80\x80\",\"id\":1,\"body\":{}}",
        "{\"type\":\"\xe2\x82\",\"id\":1,\"body\":{}}",
        "{\"type\":\"hello\",\"id\":1,\"body\":{}} x",
        "{\"type\":\"hello\",\"id\":1,\"body\":.5}",
        "{\"type\":\"hello\",\"id\":1,\"body\":1.}",
        "{\"type\":\"hello\",\"id\":1,\"body\":1e}",
        "{\"type\":\"hello\",\"id\":1,\"body\":-}",
        "{\"type\":\"hello\",\"id\":1,\"body\":tru}",
        "{\"type\":\"hello\",\"id\":1,\"body\":NaN}",
        "{'type':'hello','id':1,'body':{}}",
    };
    for (size_t i = 0; i < sizeof garbage / sizeof *garbage; i++) {
        send_bytes(garbage[i], strlen(garbage[i]));
        bool logged = heard.messages == 1 && json_is(json_get(json_parse(heard.last, heard.length), "type"), "log");
        if (!logged) fprintf(stderr, "taken for a message: %s\n", garbage[i]);
        CHECK(logged);
    }
    entry->send(plugin, (pipeline_bytes){NULL, 0});

    size_t deep = 1 << 20;
    char *nested = malloc(deep);
    for (const char *open = "[{"; *open; open++) {
        memset(nested, *open, deep);
        send_bytes(nested, deep);
        CHECK(heard.messages == 1);
    }
    free(nested);
}

/* A message that is cut off anywhere, and one with any byte replaced, is answered at most once. */
static void test_damage(void)
{
    static const char *const messages[] = {
        "{\"type\":\"hello\",\"id\":12,\"body\":{\"protocol\":1,\"host\":\"\\u00e4\\ud83d\\ude80\xe2\x82\xac\"}}",
        "{\"type\":\"open\",\"id\":3,\"body\":{\"kind\":\"{{kind}}\",\"notifier\":\"d\","
        "\"inputs\":{\"path\":\"/none/such/x\"}}}",
        "{\"type\":\"notify\",\"id\":4,\"body\":{\"notifier\":\"d\",\"event\":{\"at\":\"t\",\"run\":\"r\","
        "\"event\":\"e\",\"n\":[-0.5e+10,true,false,null,{\"\":[]}]}}}",
    };
    static const char bytes[] = {0, 1, ' ', '"', '\\', '{', '}', '[', ',', ':', '0', '-', 'e', 'u', 127, -128, -1, -16};
    for (size_t i = 0; i < sizeof messages / sizeof *messages; i++) {
        size_t length = strlen(messages[i]);
        char *damaged = malloc(length);
        for (size_t at = 0; at < length; at++) {
            send_bytes(messages[i], at);
            CHECK(heard.messages == 1);
            memcpy(damaged, messages[i], length);
            for (size_t byte = 0; byte < sizeof bytes; byte++) {
                damaged[at] = bytes[byte];
                send_bytes(damaged, length);
                CHECK(heard.messages <= 1);
            }
        }
        free(damaged);
    }
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
    test_entry();
    pipeline_host host = {sizeof host, 0, &heard, receive};
    plugin = entry->open(&host);
    CHECK(plugin != NULL);
    char log[] = "/tmp/{{name}}-test-XXXXXX";
    int file = mkstemp(log);
    CHECK(file >= 0);
    if (plugin && file >= 0) {
        close(file);
        test_calls(log);
        test_garbage();
        test_damage();
        entry->close(plugin);
        unlink(log);
    }
    free(heard.last);
    if (failures == 0) puts("all is well");
    return failures != 0;
}
