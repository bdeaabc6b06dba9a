/* A stage as it was written for version 1.0 of the interface and version 1 of the messages. It stays as it is: a host
 * of any later 1.x has to work with what was built of it. It needs no header of today, and reads messages as compactly
 * as hosts of its time wrote them. */

#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

struct bytes { const uint8_t *data; size_t len; };
struct host { uint32_t size, reserved; void *context; void (*receive)(void *, struct bytes); };
struct entry {
    uint8_t magic[8];
    uint16_t abi_major, abi_minor;
    uint32_t size, flags, reserved;
    void *(*open)(const struct host *);
    void (*send)(void *, struct bytes);
    void (*close)(void *);
};

static unsigned long open_call;

static void say(const struct host *host, const char *type, unsigned long id, const char *body)
{
    char text[2048];
    int length = snprintf(text, sizeof text, "{\"type\":\"%s\",\"id\":%lu,\"body\":%s}", type, id, body);
    host->receive(host->context, (struct bytes){(const uint8_t *)text, (size_t)length});
}

static void take(void *plugin, struct bytes message)
{
    const struct host *host = plugin;
    char *text = calloc(message.len + 1, 1), body[512];
    if (!text) abort();
    memcpy(text, message.data, message.len);
    const char *number = strstr(text, "\"id\":");
    unsigned long id = number ? strtoul(number + 5, NULL, 10) : 0;
    if (strncmp(text, "{\"type\":\"hello\"", 15) == 0) {
        say(host, "result", id,
            "{\"ok\":{\"protocol\":1,\"name\":\"frozen\",\"version\":\"1\",\"stages\":[{\"kind\":\"frozen\",\"summary\":"
            "\"As it was\",\"inputs\":{\"type\":\"object\",\"properties\":{}},\"outputs\":{\"type\":\"object\","
            "\"properties\":{\"word\":{\"type\":\"string\"}}}}]}}");
    } else if (strncmp(text, "{\"type\":\"plan\"", 14) == 0) {
        say(host, "result", id,
            strstr(text, "\"prior\"")
                ? "{\"ok\":{\"changes\":[],\"outputs\":{\"values\":{\"word\":\"old\"},\"resources\":[]},\"detail\":null}}"
                : "{\"ok\":{\"changes\":[{\"resource\":{\"kind\":\"test:thing\",\"name\":\"old\"},\"action\":\"create\"}],"
                  "\"outputs\":{\"values\":{\"word\":\"old\"},\"resources\":[]},\"detail\":null}}");
    } else if (strncmp(text, "{\"type\":\"apply\"", 15) == 0) {
        open_call = id;
        snprintf(body, sizeof body,
                 "{\"call\":%lu,\"service\":\"intent\",\"intent\":{\"resource\":{\"kind\":\"test:thing\",\"name\":\"old\"},"
                 "\"action\":\"create\",\"before\":null,\"after\":null}}", id);
        say(host, "ask", 1, body);
    } else if (strncmp(text, "{\"type\":\"answer\",\"id\":1,\"body\":{\"ok\":0}", 39) == 0) {
        say(host, "progress", open_call, "{\"level\":\"note\",\"message\":\"as ever\"}");
        snprintf(body, sizeof body, "{\"call\":%lu,\"service\":\"done\",\"intent\":0,\"after\":{}}", open_call);
        say(host, "ask", 2, body);
    } else if (strncmp(text, "{\"type\":\"answer\",\"id\":2,\"body\":{\"ok\":null}", 42) == 0) {
        say(host, "result", open_call, "{\"ok\":{\"values\":{\"word\":\"old\"},\"resources\":[]}}");
    } else if (strncmp(text, "{\"type\":\"rollback\"", 18) == 0) {
        say(host, "result", id, "{\"ok\":null}");
    }
    free(text);
}

static void *open_plugin(const struct host *host)
{
    return host->size >= sizeof *host ? (void *)(uintptr_t)host : NULL;
}

static void close_plugin(void *plugin)
{
    (void)plugin;
}

__attribute__((visibility("default"))) extern const struct entry PIPELINE_PLUGIN_ENTRY_V1;

const struct entry PIPELINE_PLUGIN_ENTRY_V1 = {
    {'P', 'I', 'P', 'E', 'L', 'I', 'N', 'E'}, 1, 0, sizeof(struct entry), 0, 0, open_plugin, take, close_plugin,
};
