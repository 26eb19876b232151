// As much of `wasi:http` and `wasi:io` as a handler needs, in memory: a request whose body is
// there, and a response that is collected. There is nothing to wait for, so nothing blocks.

const dispose = Symbol.dispose ?? Symbol.for('dispose');

class IoError {
    toDebugString() {
        return 'the stream failed';
    }
}

class InputStream {
    #bytes;

    static of(bytes) {
        const stream = new InputStream();
        stream.#bytes = bytes;
        return stream;
    }

    read(length) {
        if (!this.#bytes.length) throw { tag: 'closed' };
        const end = Number(
            length > BigInt(this.#bytes.length) ? BigInt(this.#bytes.length) : length,
        );
        const read = this.#bytes.subarray(0, end);
        this.#bytes = this.#bytes.subarray(end);
        return read;
    }

    blockingRead(length) {
        return this.read(length);
    }

    subscribe() {
        return new Pollable();
    }
}

class OutputStream {
    #write;

    static to(write) {
        const stream = new OutputStream();
        stream.#write = write;
        return stream;
    }

    checkWrite() {
        return 1n << 20n;
    }

    write(bytes) {
        this.#write(bytes.slice());
    }

    blockingWriteAndFlush(bytes) {
        this.write(bytes);
    }

    flush() {}

    blockingFlush() {}

    subscribe() {
        return new Pollable();
    }
}

class Pollable {
    ready() {
        return true;
    }

    block() {}
}

class Fields {
    #entries = [];

    static of(entries) {
        const fields = new Fields();
        fields.#entries = entries.map(([name, value]) => [name.toLowerCase(), value]);
        return fields;
    }

    static fromList(entries) {
        return Fields.of(entries);
    }

    get(name) {
        return this.#entries
            .filter(([found]) => found === name.toLowerCase())
            .map(([, value]) => value);
    }

    has(name) {
        return this.get(name).length > 0;
    }

    set(name, values) {
        this.delete(name);
        this.#entries.push(...values.map((value) => [name.toLowerCase(), value]));
    }

    append(name, value) {
        this.#entries.push([name.toLowerCase(), value]);
    }

    delete(name) {
        this.#entries = this.#entries.filter(([found]) => found !== name.toLowerCase());
    }

    entries() {
        return this.#entries;
    }

    clone() {
        return Fields.of(this.#entries);
    }
}

class IncomingBody {
    #bytes;

    static of(bytes) {
        const body = new IncomingBody();
        body.#bytes = bytes;
        return body;
    }

    stream() {
        return InputStream.of(this.#bytes);
    }

    static finish() {
        return new FutureTrailers();
    }
}

class FutureTrailers {}

class IncomingRequest {
    #request;

    static of(request) {
        const made = new IncomingRequest();
        made.#request = request;
        return made;
    }

    method() {
        const { method } = this.#request;
        return method === 'other'
            ? { tag: 'other', val: this.#request.methodName }
            : { tag: method };
    }

    pathWithQuery() {
        return this.#request.target;
    }

    scheme() {
        return { tag: this.#request.scheme === 'https' ? 'HTTPS' : 'HTTP' };
    }

    authority() {
        return this.#request.authority;
    }

    headers() {
        return Fields.of(this.#request.fields);
    }

    consume() {
        return IncomingBody.of(this.#request.body);
    }
}

class OutgoingBody {
    #chunks = [];
    isFinished = false;

    get chunks() {
        return this.#chunks;
    }

    write() {
        return OutputStream.to((bytes) => this.#chunks.push(bytes));
    }

    static finish(body) {
        body.isFinished = true;
    }

    [dispose]() {}
}

class OutgoingResponse {
    #headers;
    #status = 200;
    #body = new OutgoingBody();

    constructor(headers) {
        this.#headers = headers;
    }

    statusCode() {
        return this.#status;
    }

    setStatusCode(status) {
        this.#status = status;
    }

    headers() {
        return this.#headers;
    }

    body() {
        return this.#body;
    }

    get parts() {
        return { status: this.#status, headers: this.#headers.entries(), body: this.#body };
    }
}

class ResponseOutparam {
    result;

    static set(outparam, result) {
        outparam.result = result;
    }
}

/** The import objects. */
export const imports = {
    'wasi:http/types': {
        Fields,
        FutureTrailers,
        IncomingBody,
        IncomingRequest,
        OutgoingBody,
        OutgoingResponse,
        ResponseOutparam,
    },
    'wasi:io/error': { Error: IoError },
    'wasi:io/streams': { InputStream, OutputStream },
    'wasi:io/poll': { Pollable, poll: (pollables) => pollables.map((_, index) => index) },
};

/** Calls a handler with a request, and returns the status, the headers and the chunks. */
export function handle(handler, request) {
    const outparam = new ResponseOutparam();
    handler.handle(IncomingRequest.of(request), outparam);
    const { result } = outparam;
    if (!result || result.tag === 'err')
        throw new Error(`the component gave no response: ${JSON.stringify(result)}`);
    const { status, headers, body } = result.val.parts;
    if (!body.isFinished) throw new Error('the response broke off');
    return { status, headers, chunks: body.chunks };
}
