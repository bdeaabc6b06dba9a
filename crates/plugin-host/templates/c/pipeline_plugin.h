/*
 * The C interface of a library plugin of pipeline. This header is its specification; it needs C11 or C++11.
 *
 * A library exports one table, PIPELINE_PLUGIN_ENTRY_V1. The host checks `magic`, `abi_major` and `size`
 * before it calls anything. It calls `open`; from then on both sides pass messages to each other, the host
 * by `send`, the plugin by `receive`. It may call `open` again, with another host, where a call never ended.
 * A message is one JSON object in UTF-8 with the keys `type`, `id` and `body`, without a zero at its end.
 * What the messages say is the same as for plugins that are executables.
 *
 * Memory
 *   A message belongs to whoever passes it, and is valid only during the call. The receiver copies what it
 *   wants to keep. Nobody frees what the other side has allocated.
 *
 * Threads
 *   `send` is called from one thread at a time for each opened plugin, which may be another thread each time;
 *   with PIPELINE_PROMPT from several at once, when it was seen to return at once. `receive` may be called from
 *   any thread, also within `send`, from `open` until `close` has returned. `close` is called once, after the
 *   last `send` has returned.
 *   Without PIPELINE_PROMPT no message arrives while `send` works: it cannot wait there for the answer to a
 *   question, and learns of a cancellation only afterwards.
 *
 * Errors
 *   An error is an answer: a `result` whose body is {"error": {"kind": "failed", "message": "..."}}. No
 *   exception, longjmp or signal may leave a function.
 *
 * Growth
 *   Tables only grow at their end. `size` says how long the table of the other side is; what lies beyond is not
 *   there. Both sides ignore keys of messages that they do not know. Reserved fields are zero.
 *
 * The library is loaded with RTLD_NOW | RTLD_LOCAL and is never unloaded.
 */
#ifndef PIPELINE_PLUGIN_H
#define PIPELINE_PLUGIN_H

#include <stddef.h>
#include <stdint.h>

#ifdef __cplusplus
extern "C" {
#endif

/* Another major version is another interface: the host refuses it. */
#define PIPELINE_ABI_MAJOR 1

/* A higher minor version has longer tables, whose beginning is the same. */
#define PIPELINE_ABI_MINOR 0

/* The version of what the messages say, for the answer to `hello`. */
#define PIPELINE_PROTOCOL 1

/* How a table begins: PIPELINE in ASCII. */
#define PIPELINE_MAGIC {'P', 'I', 'P', 'E', 'L', 'I', 'N', 'E'}

/* In `flags`: `send` returns at once, because the work is done on threads of the plugin. Without it the host
 * calls `send` on a thread that may wait. */
#define PIPELINE_PROMPT UINT32_C(1)

/* The longest message in bytes, in both directions. A longer one ends the conversation. */
#define PIPELINE_LONGEST_MESSAGE ((size_t)16 << 20)

/* The name of the exported table, for dlsym. */
#define PIPELINE_ENTRY_SYMBOL "PIPELINE_PLUGIN_ENTRY_V1"

/* Bytes that are valid during one call. */
typedef struct pipeline_bytes {
    const uint8_t *data; /* may be null if there are none */
    size_t len;
} pipeline_bytes;

/* What the host offers. Valid until `close` has returned. */
typedef struct pipeline_host {
    uint32_t size;     /* of this table, in bytes */
    uint32_t reserved; /* zero */
    void *context;     /* the first argument of `receive` */
    void (*receive)(void *context, pipeline_bytes message); /* takes a message of the plugin */
} pipeline_host;

/* The exported table. None of its functions is null. */
typedef struct pipeline_entry {
    uint8_t magic[8];   /* PIPELINE_MAGIC */
    uint16_t abi_major; /* PIPELINE_ABI_MAJOR */
    uint16_t abi_minor; /* PIPELINE_ABI_MINOR */
    uint32_t size;      /* of this table, in bytes */
    uint32_t flags;     /* PIPELINE_PROMPT or nothing */
    uint32_t reserved;  /* zero */
    void *(*open)(const pipeline_host *host);            /* starts the plugin; null if that is impossible */
    void (*send)(void *plugin, pipeline_bytes message);  /* takes a message of the host */
    void (*close)(void *plugin); /* ends the plugin: once it has returned, `receive` is not called any more */
} pipeline_entry;

#ifdef __cplusplus
#define PIPELINE_ASSERT(fact) static_assert(fact, #fact)
#else
#define PIPELINE_ASSERT(fact) _Static_assert(fact, #fact)
#endif

PIPELINE_ASSERT(offsetof(pipeline_host, context) == 8);
PIPELINE_ASSERT(offsetof(pipeline_entry, flags) == 16);
PIPELINE_ASSERT(offsetof(pipeline_entry, open) == 24);
PIPELINE_ASSERT(sizeof(pipeline_bytes) == 2 * sizeof(void *));
PIPELINE_ASSERT(sizeof(pipeline_host) == 8 + 2 * sizeof(void *));
PIPELINE_ASSERT(sizeof(pipeline_entry) == 24 + 3 * sizeof(void *));

#undef PIPELINE_ASSERT

/* What a plugin defines. It is exported also where everything else is hidden. */
extern __attribute__((visibility("default"))) const pipeline_entry PIPELINE_PLUGIN_ENTRY_V1;

#ifdef __cplusplus
}
#endif

#endif
