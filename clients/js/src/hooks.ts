/** Hooks over a client, for any library with `useState` and `useEffect`. */

import type { Client, Member, OfflineReason, Publication, SessionInfo, State, SubscribeOptions, Subscription } from "./api.js";
import type { ChappeError } from "./errors.js";

/** What a component sees of its client. */
export interface ChappeState {
  readonly state: State;
  readonly reason: OfflineReason | null;
  readonly info: SessionInfo | null;
  readonly latencyMs: number | null;
  readonly unacknowledged: number;
}

/** What a component sees of a channel. */
export interface ChannelState<T = unknown> {
  /** The newest, oldest first; at most `limit`. */
  readonly publications: readonly Publication<T>[];
  readonly latest: Publication<T> | null;
  readonly members: readonly Member[];
  readonly count: number;
  readonly active: boolean;
  readonly recovered: boolean | null;
  /** Why the hub ended the subscription. */
  readonly error: ChappeError | null;
}

/** Of components that use one channel of one client, the options of the first count. */
export interface UseSubscriptionOptions extends Omit<SubscribeOptions, "signal" | "queueSize" | "overflow"> {
  /** Publications kept; default 100. */
  limit?: number;
}

/** The part of React and Preact that is used. */
export interface HookLibrary {
  useState<S>(initial: () => S): [S, (next: S) => void];
  useEffect(effect: () => () => void, dependencies: readonly unknown[]): void;
}

export interface Hooks {
  useChappe(client: Client): ChappeState;
  /** Subscribes while the component is there; components on the same channel share one subscription. */
  useSubscription<T = unknown>(client: Client, channel: string, options?: UseSubscriptionOptions): ChannelState<T>;
}

export function makeHooks({ useState, useEffect }: HookLibrary): Hooks {
  /** @param read a new object when something changed, else the same */
  function useSource<S>(read: () => S, watch: (changed: () => void) => () => void, dependencies: readonly unknown[]): S {
    const [, show] = useState<S>(read);
    useEffect(() => {
      const look = (): void => show(read());
      const stop = watch(look);
      look();
      return stop;
    }, dependencies);
    return read();
  }
  return {
    useChappe(client) {
      const view = viewOf(client);
      return useSource(() => view.read(), (changed) => view.watch(changed), [client]);
    },
    useSubscription<T>(client: Client, channel: string, options: UseSubscriptionOptions = {}) {
      const read = () => (shares(client).get(channel)?.view ?? EMPTY) as ChannelState<T>;
      return useSource(read, (changed) => share(client, channel, options).watch(changed), [client, channel]);
    },
  };
}

const EMPTY: ChannelState = { publications: [], latest: null, members: [], count: 0, active: false, recovered: null, error: null };

// ---- the client -------------------------------------------------------------------------------------------------------

class ClientView {
  #seen: ChappeState | null = null;
  constructor(private readonly client: Client) {}

  read(): ChappeState {
    const { state, reason, info, latencyMs, unacknowledged } = this.client;
    const now = { state, reason, info, latencyMs, unacknowledged };
    const same = this.#seen && (Object.keys(now) as (keyof ChappeState)[]).every((name) => this.#seen?.[name] === now[name]);
    return (this.#seen = same ? this.#seen : now) as ChappeState;
  }

  watch(changed: () => void): () => void {
    const offs = (["state", "connected", "latency"] as const).map((event) => this.client.on(event, changed));
    return () => offs.forEach((off) => off());
  }
}

const views = new WeakMap<Client, ClientView>();

function viewOf(client: Client): ClientView {
  const view = views.get(client) ?? new ClientView(client);
  views.set(client, view);
  return view;
}

// ---- channels ---------------------------------------------------------------------------------------------------------

/** A subscription of some components, kept as long as one of them is there. */
class Share {
  view: ChannelState = EMPTY;
  readonly #watchers = new Set<{ changed: () => void }>();
  #subscription: Subscription | null = null;
  /** False when the application had subscribed by itself: then it is not ours to end. */
  readonly #own: boolean;
  #offs: (() => void)[] = [];

  constructor(
    private readonly client: Client,
    private readonly channel: string,
    private readonly options: UseSubscriptionOptions,
  ) {
    const { limit: _, ...wanted } = options;
    const existing = client.subscriptions.get(channel);
    this.#own = existing === undefined;
    try {
      this.#listen(existing ?? client.subscribe(channel, wanted));
    } catch (error) {
      this.view = { ...EMPTY, error: error as ChappeError };
    }
  }

  #listen(it: Subscription): void {
    this.#subscription = it;
    this.#offs = [
      it.on("publication", (publication) => this.#change({ latest: publication }, publication)),
      it.on("error", (error) => this.#change({ error })),
      ...(["join", "leave", "presence", "subscribed", "unsubscribed"] as const).map((event) => it.on(event, () => this.#change({}))),
    ];
    this.#change({});
  }

  watch(changed: () => void): () => void {
    const watcher = { changed };
    this.#watchers.add(watcher);
    return () => {
      this.#watchers.delete(watcher);
      // A component that is mounted again at once, as StrictMode does, keeps its subscription.
      setTimeout(() => this.#watchers.size === 0 && this.#end());
    };
  }

  #change(change: Partial<ChannelState>, added?: Publication): void {
    if (this.#subscription === null) return;
    const { members, count, active, recovered } = this.#subscription;
    const kept = this.view.publications;
    const publications = added ? [...kept, added].slice(-(this.options.limit ?? 100)) : kept;
    const error = active ? null : this.view.error;
    this.view = { ...this.view, publications, members, count, active, recovered, error, ...change };
    for (const { changed } of [...this.#watchers]) changed();
  }

  #end(): void {
    const mine = shares(this.client);
    if (mine.get(this.channel) === this) mine.delete(this.channel);
    for (const off of this.#offs.splice(0)) off();
    if (this.#own) this.#subscription?.unsubscribe();
  }
}

const allShares = new WeakMap<Client, Map<string, Share>>();

function shares(client: Client): Map<string, Share> {
  const mine = allShares.get(client) ?? new Map<string, Share>();
  allShares.set(client, mine);
  return mine;
}

function share(client: Client, channel: string, options: UseSubscriptionOptions): Share {
  const existing = shares(client).get(channel) ?? new Share(client, channel, options);
  shares(client).set(channel, existing);
  return existing;
}
