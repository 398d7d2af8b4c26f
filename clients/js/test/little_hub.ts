/** A hub small enough to read at one glance, with the answers of chappe.v1: what the client is tested against. */

type Fields = Record<string, any>;

export interface Wire {
  send(frame: string): void;
  close(code: number, reason: string): void;
}

interface Entry {
  readonly channel: string;
  readonly data: unknown;
  readonly offset: number;
  readonly epoch: string;
  readonly from: Fields;
}

export class LittleChannel {
  epoch = "e1";
  offset = 0;
  log: Entry[] = [];
  keys = new Map<string, Fields>();
  retained: Entry | null = null;
  readonly subscribers = new Map<LittleSession, { presence: boolean }>();

  constructor(readonly name: string) {}

  /** What a hub does that lost its memory. */
  restart(epoch: string): void {
    this.epoch = epoch;
    this.offset = 0;
    this.log = [];
    this.keys.clear();
    this.retained = null;
  }
}

export class LittleHub {
  readonly channels = new Map<string, LittleChannel>();
  readonly sessions = new Set<LittleSession>();
  readonly commands: Fields[] = [];
  /** Whether sessions may move to another connection and keep their id. */
  resumes = true;
  /** Offsets may have gaps; some hubs make them. */
  step = 1;
  /** Answers instead of the hub when it returns something. */
  intercept: (message: Fields, session: LittleSession) => Fields | null | undefined = () => undefined;
  #ids = 0;

  open(wire: Wire): LittleSession {
    const session = new LittleSession(this, wire, `s${++this.#ids}`);
    this.sessions.add(session);
    return session;
  }

  channel(name: string): LittleChannel {
    const channel = this.channels.get(name) ?? new LittleChannel(name);
    this.channels.set(name, channel);
    return channel;
  }

  publish(name: string, data: unknown, from: Fields | null = null, retain = false): Entry {
    const channel = this.channel(name);
    const entry = { channel: name, data, offset: (channel.offset += this.step), epoch: channel.epoch, from: from as Fields };
    channel.log.push(entry);
    if (retain) channel.retained = entry;
    const told = new Set<LittleSession>();
    for (const other of [channel, ...this.patternsOf(name)]) {
      for (const session of other.subscribers.keys()) {
        if (told.has(session)) continue;
        told.add(session);
        session.say({ type: "publication", ...entry });
      }
    }
    return entry;
  }

  private patternsOf(name: string): LittleChannel[] {
    return [...this.channels.values()].filter((it) => it.name.endsWith("/#") && name.startsWith(it.name.slice(0, -1)));
  }
}

export class LittleSession {
  open = true;
  name = "";

  constructor(readonly hub: LittleHub, readonly wire: Wire, public id: string) {}

  say(message: Fields): void {
    if (this.open) this.wire.send(JSON.stringify(message));
  }

  receive(frame: string): void {
    for (const message of [JSON.parse(frame)].flat() as Fields[]) this.#receive(message);
  }

  #receive(message: Fields): void {
    if (message["type"] === "ping") return this.say({ type: "pong" });
    this.hub.commands.push(message);
    const answer = this.hub.intercept(message, this) ?? this.#answer(message);
    if (answer["type"] !== undefined) this.say({ ...answer, id: message["id"] });
  }

  lost(): void {
    if (!this.open) return;
    this.open = false;
    this.hub.sessions.delete(this);
    for (const channel of this.hub.channels.values()) this.#leave(channel);
  }

  #answer(message: Fields): Fields {
    switch (message["type"]) {
      case "connect":
        return this.#connect(message);
      case "subscribe":
        return this.#subscribe(message, this.hub.channel(message["channel"]));
      case "unsubscribe":
        this.#leave(this.hub.channel(message["channel"]));
        return { type: "reply" };
      case "publish":
        return this.#publish(message, this.hub.channel(message["channel"]));
      case "history": {
        const { log, epoch, offset } = this.hub.channel(message["channel"]);
        const { limit = 100, since } = message;
        if (since && since.epoch !== epoch) return { type: "error", code: 112, reason: "unrecoverable position" };
        const page = since ? log.filter((it) => it.offset > since.offset).slice(0, limit) : limit ? log.slice(-limit) : [];
        return { type: "reply", publications: page, epoch, offset };
      }
      case "presence": {
        const members = this.#members(this.hub.channel(message["channel"]));
        return { type: "reply", members, count: members.length };
      }
      case "lock":
        return { type: "reply", owner: this.id, token: 17, expires: null };
      case "rpc":
        return { type: "reply", result: message["params"].a + message["params"].b };
      case "unlock": case "state": case "refresh":
        return { type: "reply" };
      default:
        return { type: "error", code: 104, reason: "unknown command", retry: false };
    }
  }

  #connect({ name = "", resume }: Fields): Fields {
    for (const other of this.hub.sessions) {
      if (other !== this && name && other.name.toLowerCase() === name.toLowerCase() && resume !== `r-${other.id}`) {
        return { type: "error", code: 115, reason: "name in use", retry: false };
      }
    }
    for (const other of [...this.hub.sessions]) if (resume === `r-${other.id}`) other.lost();
    this.name = name;
    const resumed = resume !== undefined && this.hub.resumes;
    if (resumed) this.id = resume.slice(2);
    const identity = { session: this.id, resume: `r-${this.id}`, user: null, name };
    return { type: "reply", ...identity, ping: 25, version: "0", node: "n", resumed };
  }

  #subscribe({ id, channel: name, since, presence = false }: Fields, channel: LittleChannel): Fields {
    if (channel.subscribers.has(this)) return { type: "error", code: 105, reason: "already subscribed", retry: false };
    const { epoch, offset, log, retained } = channel;
    const placed = typeof since === "object" && since.epoch === epoch;
    const recovered = placed && since.offset <= offset;
    const count = since === "latest" ? 1 : (since as number);
    const gap = recovered ? log.filter((it) => it.offset > since.offset) : typeof since === "object" || !since ? [] : log.slice(-count);
    this.say({ type: "reply", id, channel: name, epoch, offset, recovered });
    if (retained && !recovered) this.say({ type: "publication", ...retained, retained: true });
    for (const entry of gap) this.say({ type: "publication", ...entry });
    if (presence) this.#watch(channel);
    channel.subscribers.set(this, { presence });
    this.#tell(channel, { type: "join", channel: name, member: this.#member() });
    return {};
  }

  #watch(channel: LittleChannel): void {
    const members = this.#members(channel);
    this.say({ type: "presence", channel: channel.name, members, count: members.length });
  }

  #publish({ channel: name, data, key, retain }: Fields, channel: LittleChannel): Fields {
    const known = key && channel.keys.get(key);
    if (known) return known;
    const { epoch, offset } = this.hub.publish(name, data, { user: null, name: this.name, session: this.id }, retain);
    const reply = { type: "reply", epoch, offset };
    if (key) channel.keys.set(key, reply);
    return reply;
  }

  #leave(channel: LittleChannel): void {
    if (!channel.subscribers.delete(this)) return;
    this.#tell(channel, { type: "leave", channel: channel.name, member: this.#member() });
  }

  #tell(channel: LittleChannel, message: Fields): void {
    for (const [session, { presence }] of channel.subscribers) if (presence) session.say(message);
  }

  #members(channel: LittleChannel): Fields[] {
    return [...channel.subscribers.keys()].map((session) => session.#member());
  }

  #member(): Fields {
    return { session: this.id, user: null, name: this.name };
  }
}
