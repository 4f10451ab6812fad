/* The speed of light: what the memory of this machine allows for the job, with no rules at all.

   bare() touches what screening and posting must touch: it reads every input column, probes the
   engine's own people table (the hash is that of _table.pxd), writes every output column, tests and
   sets a bit a line and adds to a matrix of pairs. It decides nothing. The others are the usual
   measures: sequential read, copy, random probe. Compiled when the benchmark runs. */

#include <stdint.h>
#include <string.h>

typedef struct {
    uint64_t word, name_key, account;
    uint32_t row;
    uint16_t participant, valid_from;
} Person;

#define ID_MASK ((1ULL << 40) - 1)
#define BLOCK 32

static inline uint64_t home_slot(uint64_t id, uint64_t capacity) {
    uint64_t h = id * 0x9E3779B97F4A7C15ULL;
    h = (h ^ (h >> 32)) * 0xD6E8FEB86659FD93ULL;
    return (uint64_t) (((unsigned __int128) h * capacity) >> 64);
}

static inline void fetch(const Person *slots, uint64_t capacity, uint64_t id) {
    const char *at = (const char *) &slots[home_slot(id, capacity)];
    __builtin_prefetch(at);
    __builtin_prefetch(at + 64);
}

static inline const Person *find(const Person *slots, uint64_t capacity, uint64_t id) {
    uint64_t at = home_slot(id, capacity);
    while (slots[at].word != 0 && (slots[at].word & ID_MASK) != id)
        if (++at == capacity) at = 0;
    return &slots[at];
}

/* bits: one bit a row; pairs: (sum, count) by debtor and participant code, 65536 of them. */
uint64_t bare(const Person *slots, uint64_t capacity, int64_t n,
              const int64_t *amount, const uint64_t *person_id, const uint64_t *name_key,
              const uint16_t *benefit, const uint16_t *debtor, const uint16_t *month,
              const uint16_t *agent, uint8_t *reason, uint32_t *row, uint16_t *participant,
              uint64_t *account, uint64_t *bits, uint64_t rows, int64_t *pairs) {
    uint64_t seen = 0;
    for (int64_t i = 0; i < n && i < BLOCK; i++) fetch(slots, capacity, person_id[i]);
    for (int64_t start = 0; start < n; start += BLOCK) {
        int64_t end = start + BLOCK < n ? start + BLOCK : n;
        for (int64_t i = start; i < end; i++) {
            if (i + BLOCK < n) fetch(slots, capacity, person_id[i + BLOCK]);
            const Person *p = find(slots, capacity, person_id[i]);
            uint32_t r = p->row < rows ? p->row : 0;
            reason[i] = (uint8_t) ((p->name_key != name_key[i]) | (agent ? agent[i] & 1 : 0));
            row[i] = r;
            participant[i] = p->participant;
            account[i] = p->account;
            __builtin_prefetch(&bits[r >> 6], 1);
        }
        for (int64_t i = start; i < end; i++) {
            uint64_t bit = 1ULL << (row[i] & 63), *word = &bits[row[i] >> 6];
            seen += (*word & bit) != 0;
            *word |= bit;
            int64_t *pair = &pairs[2 * (((debtor[i] & 255) << 8) | (participant[i] & 255))];
            pair[0] += amount[i];
            pair[1] += 1 + ((benefit[i] ^ month[i]) == 0xFFFF);
        }
    }
    return seen;
}

uint64_t read_all(const uint64_t *data, int64_t words) {
    uint64_t a = 0, b = 0, c = 0, d = 0;
    for (int64_t i = 0; i + 4 <= words; i += 4) {
        a += data[i]; b += data[i + 1]; c += data[i + 2]; d += data[i + 3];
    }
    return a + b + c + d;
}

void copy_all(uint8_t *to, const uint8_t *from, int64_t bytes) { memcpy(to, from, (size_t) bytes); }

uint64_t probe_all(const Person *slots, uint64_t capacity, const uint64_t *person_id, int64_t n) {
    uint64_t sum = 0;
    for (int64_t i = 0; i < n; i++) {
        if (i + BLOCK < n) fetch(slots, capacity, person_id[i + BLOCK]);
        sum += find(slots, capacity, person_id[i])->row;
    }
    return sum;
}
