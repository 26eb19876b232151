// The errors of `usher:database`, as the component sees them.

const KINDS = {
    23505: 'unique-violation',
    23503: 'foreign-key-violation',
    23502: 'not-null-violation',
    23514: 'check-violation',
    40001: 'serialization-failure',
    '40P01': 'serialization-failure',
};

/** An error of the database. A test throws one, answers with one, or has a call fail with it. */
export class DatabaseError extends Error {
    constructor(tag, val) {
        super(
            val === undefined
                ? tag
                : `${tag}: ${typeof val === 'object' ? `${val.message} (${val.code})` : val}`,
        );
        this.name = 'DatabaseError';
        [this.tag, this.val] = [tag, val];
    }

    /** What is thrown into the component: jco takes an Error for a bug of the host. */
    get payload() {
        return this.val === undefined ? { tag: this.tag } : { tag: this.tag, val: this.val };
    }

    static unavailable = (why = 'no connection') => new DatabaseError('unavailable', why);
    static overloaded = () => new DatabaseError('overloaded');
    static timeout = () => new DatabaseError('timeout');
    static inDoubt = () => new DatabaseError('in-doubt');
    static denied = (why) => new DatabaseError('denied', why);
    static invalid = (why) => new DatabaseError('invalid', why);
    static tooLarge = (limit) => new DatabaseError('too-large', BigInt(limit));

    /** The database's own error, by its SQLSTATE. */
    static refused = (code, { message = '', constraint, column } = {}) =>
        new DatabaseError('refused', {
            kind: KINDS[code] ?? 'other',
            code,
            message,
            constraint,
            column,
        });
}
