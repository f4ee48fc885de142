/* What embedded processors do all day: a linked list, a small matrix, a state machine over text, and a CRC over all. */
#include "kernel.h"

#define NODES 128
#define SIZE 12

struct node {
    struct node *next;
    int16_t key, data;
};

static struct node nodes[NODES];
static int16_t a[SIZE][SIZE], b[SIZE][SIZE];
static int32_t c[SIZE][SIZE];
static const char numbers[] = "5012,1234,-874,+122,35.54400,.1234500,-110.700,+0.64400,5.500e+3,-.123e-2,-87e+832,T0.3e-1F,-T.T++Tq";

static u32 crc(u32 sum, u32 data) {
    for (int i = 0; i < 16; i++, data >>= 1)
        sum = (sum ^ data) & 1 ? sum >> 1 ^ 0xa001 : sum >> 1;
    return sum;
}

static struct node *make_list(u64 *seed) {
    for (int i = 0; i < NODES; i++)
        nodes[i] = (struct node){i + 1 < NODES ? &nodes[i + 1] : 0, (int16_t)(next(seed) >> 50), (int16_t)i};
    return nodes;
}

static struct node *merge(struct node *left, struct node *right) {
    struct node *head = 0, **tail = &head;
    while (left && right) {
        struct node **lower = left->key <= right->key ? &left : &right;
        *tail = *lower, tail = &(*lower)->next, *lower = *tail;
    }
    *tail = left ? left : right;
    return head;
}

static struct node *sort(struct node *list) {
    if (!list || !list->next)
        return list;
    struct node *slow = list, *fast = list->next;
    while (fast && fast->next)
        slow = slow->next, fast = fast->next->next;
    struct node *half = slow->next;
    slow->next = 0;
    return merge(sort(list), sort(half));
}

static u32 lists(u32 sum, u64 *seed) {
    struct node *list = sort(make_list(seed)), *back = 0;
    while (list) {
        struct node *rest = list->next;
        list->next = back, back = list, list = rest;
    }
    for (int wanted = 0; wanted < 16; wanted++) {
        struct node *node = back;
        while (node && node->data != wanted * 7)
            node = node->next;
        sum = crc(sum, node ? (u32)node->key : 0xffff);
    }
    return sum;
}

static u32 matrices(u32 sum, int16_t value) {
    for (int i = 0; i < SIZE; i++)
        for (int k = 0; k < SIZE; k++)
            a[i][k] = (int16_t)(i * value + k), b[i][k] = (int16_t)(k * 3 - value);
    for (int i = 0; i < SIZE; i++)
        for (int j = 0; j < SIZE; j++) {
            c[i][j] = 0;
            for (int k = 0; k < SIZE; k++)
                c[i][j] += (int32_t)a[i][k] * b[k][j];
        }
    for (int i = 0; i < SIZE; i++)
        sum = crc(sum, (u32)c[i][SIZE - 1 - i] >> 2);
    return sum;
}

enum state { START, SIGN, WHOLE, POINT, EXPONENT, POWER, WRONG };

static enum state follow(enum state state, char character) {
    int digit = character >= '0' && character <= '9', sign = character == '+' || character == '-';
    switch (state) {
    case START: return digit ? WHOLE : sign ? SIGN : character == '.' ? POINT : WRONG;
    case SIGN: return digit ? WHOLE : character == '.' ? POINT : WRONG;
    case WHOLE: return digit ? WHOLE : character == '.' ? POINT : character == 'e' ? EXPONENT : WRONG;
    case POINT: return digit ? POINT : character == 'e' ? EXPONENT : WRONG;
    case EXPONENT: return digit || sign ? POWER : WRONG;
    case POWER: return digit ? POWER : WRONG;
    default: return WRONG;
    }
}

static u32 states(u32 sum, int flip) {
    u32 seen[7] = {0};
    enum state state = START;
    for (const char *at = numbers; *at; at++) {
        state = *at == ',' ? START : follow(state, (char)(*at ^ (flip && at[1] == '5')));
        seen[state]++;
    }
    for (int i = 0; i < 7; i++)
        sum = crc(sum, seen[i]);
    return sum;
}

i64 kernel(i64 n) {
    u64 seed = 9;
    u32 sum = 0xffff;
    for (i64 i = 0; i < n; i++) {
        sum = lists(sum, &seed);
        sum = matrices(sum, (int16_t)i);
        sum = states(sum, (int)i & 1);
    }
    return sum;
}
