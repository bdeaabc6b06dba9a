/*
 * Reads JSON where it lies, without a zero at its end and without a copy. Everything is checked once, by
 * `json_parse`: what it has accepted is JSON in valid UTF-8, of limited depth.
 */
#ifndef JSON_H
#define JSON_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define JSON_DEEPEST 128

/* One value from its first byte to behind its last. `at` is null if there is none. */
struct json {
    const char *at, *end;
};

static inline void json_space(const char **at, const char *end)
{
    while (*at < end && (**at == ' ' || **at == '\t' || **at == '\n' || **at == '\r')) ++*at;
}

static inline bool json_take(const char **at, const char *end, char wanted)
{
    json_space(at, end);
    if (*at == end || **at != wanted) return false;
    ++*at;
    return true;
}

static inline bool json_word(const char **at, const char *end, const char *word)
{
    size_t length = strlen(word);
    if ((size_t)(end - *at) < length || memcmp(*at, word, length) != 0) return false;
    *at += length;
    return true;
}

static inline bool json_hex4(const char **at, const char *end, uint32_t *unit)
{
    *unit = 0;
    for (int i = 0; i < 4; i++, ++*at) {
        const char *digit = *at < end && **at ? strchr("0123456789abcdefABCDEF", **at) : NULL;
        if (!digit) return false;
        int value = **at <= '9' ? **at - '0' : (**at | 0x20) - 'a' + 10;
        *unit = *unit << 4 | (uint32_t)value;
    }
    return true;
}

/* What follows a backslash. */
static inline bool json_escape(const char **at, const char *end, uint32_t *code)
{
    static const char names[] = "\"\\/bfnrt", meanings[] = "\"\\/\b\f\n\r\t";
    if (*at == end || !**at) return false;
    const char *name = strchr(names, *(*at)++);
    if (name) {
        *code = (unsigned char)meanings[name - names];
        return true;
    }
    if ((*at)[-1] != 'u' || !json_hex4(at, end, code)) return false;
    if (*code < 0xD800 || *code > 0xDFFF) return true;
    uint32_t low;
    if (*code > 0xDBFF || !json_word(at, end, "\\u") || !json_hex4(at, end, &low)) return false;
    if (low < 0xDC00 || low > 0xDFFF) return false;
    *code = 0x10000 + ((*code - 0xD800) << 10) + (low - 0xDC00);
    return true;
}

/* The next character inside a string: an escape, or one in UTF-8. */
static inline bool json_character(const char **at, const char *end, uint32_t *code)
{
    static const uint32_t least[] = {0, 0x80, 0x800, 0x10000};
    if (*at == end) return false;
    unsigned char first = (unsigned char)*(*at)++;
    if (first == '\\') return json_escape(at, end, code);
    *code = first;
    if (first < 0x80) return first >= 0x20;
    int more = first >= 0xF0 ? 3 : first >= 0xE0 ? 2 : 1;
    if (first < 0xC2 || first > 0xF4 || end - *at < more) return false;
    *code = first & (0x3Fu >> more);
    for (int i = 0; i < more; i++) {
        unsigned char next = (unsigned char)*(*at)++;
        if ((next & 0xC0) != 0x80) return false;
        *code = *code << 6 | (next & 0x3F);
    }
    return *code >= least[more] && *code <= 0x10FFFF && (*code < 0xD800 || *code > 0xDFFF);
}

static inline bool json_skip_string(const char **at, const char *end)
{
    uint32_t code;
    if (!json_take(at, end, '"')) return false;
    while (*at < end && **at != '"')
        if (!json_character(at, end, &code)) return false;
    return json_take(at, end, '"');
}

static inline bool json_skip_digits(const char **at, const char *end)
{
    const char *first = *at;
    while (*at < end && **at >= '0' && **at <= '9') ++*at;
    return *at > first;
}

static inline bool json_skip_number(const char **at, const char *end)
{
    json_word(at, end, "-");
    const char *first = *at;
    if (!json_skip_digits(at, end) || (*first == '0' && *at - first > 1)) return false;
    if (json_word(at, end, ".") && !json_skip_digits(at, end)) return false;
    if (json_word(at, end, "e") || json_word(at, end, "E")) {
        if (!json_word(at, end, "+")) json_word(at, end, "-");
        return json_skip_digits(at, end);
    }
    return true;
}

/* Goes behind one value, with the space before it. */
static inline bool json_skip(const char **at, const char *end, int depth)
{
    json_space(at, end);
    if (*at == end || depth == 0) return false;
    char first = **at;
    if (first == '"') return json_skip_string(at, end);
    if (first == 't') return json_word(at, end, "true");
    if (first == 'f') return json_word(at, end, "false");
    if (first == 'n') return json_word(at, end, "null");
    if (first != '{' && first != '[') return json_skip_number(at, end);
    char last = first == '{' ? '}' : ']';
    ++*at;
    if (json_take(at, end, last)) return true;
    do {
        if (first == '{' && !(json_skip_string(at, end) && json_take(at, end, ':'))) return false;
        if (!json_skip(at, end, depth - 1)) return false;
    } while (json_take(at, end, ','));
    return json_take(at, end, last);
}

/* The value that `data` is, if it is one value in JSON and nothing else. */
static inline struct json json_parse(const void *data, size_t length)
{
    const char *at = (const char *)data, *end = at;
    if (!at) return (struct json){NULL, NULL};
    end += length;
    json_space(&at, end);
    struct json value = {at, at};
    if (!json_skip(&value.end, end, JSON_DEEPEST)) return (struct json){NULL, NULL};
    at = value.end;
    json_space(&at, end);
    return at == end ? value : (struct json){NULL, NULL};
}

/* Whether the value is the string `text`. */
static inline bool json_is(struct json value, const char *text)
{
    if (!value.at || *value.at != '"') return false;
    const char *at = value.at + 1;
    uint32_t code;
    /* Compared by code points below 128: what is asked for is ASCII. */
    for (; *text; text++)
        if (at == value.end - 1 || !json_character(&at, value.end, &code) || code != (unsigned char)*text) return false;
    return at == value.end - 1;
}

/* The value under an ASCII key, if `object` is an object that has it. */
static inline struct json json_get(struct json object, const char *key)
{
    const char *at = object.at;
    if (!at || !json_take(&at, object.end, '{')) return (struct json){NULL, NULL};
    do {
        json_space(&at, object.end);
        struct json name = {at, at};
        if (!json_skip_string(&name.end, object.end)) break;
        at = name.end;
        if (!json_take(&at, object.end, ':')) break;
        json_space(&at, object.end);
        struct json value = {at, at};
        if (!json_skip(&value.end, object.end, JSON_DEEPEST)) break;
        if (json_is(name, key)) return value;
        at = value.end;
    } while (json_take(&at, object.end, ','));
    return (struct json){NULL, NULL};
}

/* The text of a string, for the caller to free. Null if the value is no string, or one with a zero in it. */
static inline char *json_text(struct json value)
{
    if (!value.at || *value.at != '"') return NULL;
    /* What is escaped is never shorter than what it stands for. */
    char *text = (char *)malloc((size_t)(value.end - value.at)), *out = text;
    const char *at = value.at + 1;
    uint32_t code;
    while (text && at < value.end - 1) {
        if (!json_character(&at, value.end, &code) || code == 0) {
            free(text);
            return NULL;
        }
        int more = code < 0x80 ? 0 : code < 0x800 ? 1 : code < 0x10000 ? 2 : 3;
        static const unsigned char leads[] = {0x00, 0xC0, 0xE0, 0xF0};
        *out++ = (char)(leads[more] | (code >> (6 * more)));
        while (more-- > 0) *out++ = (char)(0x80 | ((code >> (6 * more)) & 0x3F));
    }
    if (text) *out = '\0';
    return text;
}

/* Whether the value is a whole number that fits. */
static inline bool json_whole(struct json value, uint64_t *number)
{
    *number = 0;
    for (const char *at = value.at; at < value.end; at++) {
        if (*at < '0' || *at > '9') return false;
        uint64_t digit = (uint64_t)(*at - '0');
        if (*number > (UINT64_MAX - digit) / 10) return false;
        *number = *number * 10 + digit;
    }
    return value.at != NULL;
}

/* Writes a text in UTF-8 as what is between the quotes of a string. */
static inline void json_put(FILE *out, const char *text)
{
    for (; *text; text++) {
        unsigned char next = (unsigned char)*text;
        if (next < 0x20) {
            fprintf(out, "\\u%04x", next);
            continue;
        }
        if (next == '"' || next == '\\') fputc('\\', out);
        fputc(next, out);
    }
}

#endif
