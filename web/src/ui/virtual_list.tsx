/** A long list of lines of one height: only those in sight are in the page. Stays at the end while it is there. */

import { useSignal } from "@preact/signals";
import type { JSX, TargetedKeyboardEvent } from "preact";
import { useEffect, useLayoutEffect, useRef } from "preact/hooks";

/** Lines drawn beyond the edges, so that fast scrolling shows no holes. */
const MARGIN = 8;

interface Props<T> {
  readonly items: readonly T[];
  readonly keyOf: (item: T) => number;
  /** Height of a line in pixels, as the style sheet has it. */
  readonly lineHeight: number;
  readonly label: string;
  readonly selected: number | null;
  readonly onSelect: (item: T) => void;
  readonly line: (item: T) => JSX.Element;
  readonly latest: string;
}

export function VirtualList<T>(props: Props<T>): JSX.Element {
  const { items, keyOf, lineHeight, label, selected, onSelect } = props;
  const box = useRef<HTMLDivElement>(null);
  const top = useSignal(0);
  const height = useSignal(600);
  const atEnd = useSignal(true);

  const toEnd = (): void => {
    if (box.current) box.current.scrollTop = box.current.scrollHeight;
  };
  useLayoutEffect(() => {
    if (atEnd.value) toEnd();
  }, [items]);
  useEffect(() => {
    const observer = new ResizeObserver(() => {
      height.value = box.current?.clientHeight ?? 0;
      if (atEnd.value) toEnd();
    });
    if (box.current) observer.observe(box.current);
    return () => observer.disconnect();
  }, []);

  const onScroll = (): void => {
    const element = box.current;
    if (!element) return;
    top.value = element.scrollTop;
    atEnd.value = element.scrollHeight - element.scrollTop - element.clientHeight < lineHeight;
  };
  const onKeyDown = (event: TargetedKeyboardEvent<HTMLDivElement>): void => {
    const at = items.findIndex((item) => keyOf(item) === selected);
    const to = destination(event.key, at, items.length);
    const item = to === null ? undefined : items[to];
    if (to === null || item === undefined) return;
    event.preventDefault();
    onSelect(item);
    reveal(box.current, to * lineHeight, lineHeight);
  };

  const first = Math.max(0, Math.floor(top.value / lineHeight) - MARGIN);
  const last = Math.min(items.length, Math.ceil((top.value + height.value) / lineHeight) + MARGIN);
  return (
    <div class="lines-frame">
      <div
        ref={box}
        class="lines"
        role="listbox"
        tabIndex={0}
        aria-label={label}
        aria-activedescendant={selected === null ? undefined : `line-${selected}`}
        onScroll={onScroll}
        onKeyDown={onKeyDown}
      >
        <div class="lines-space" role="presentation" style={{ height: `${items.length * lineHeight}px` }}>
          <div role="presentation" style={{ transform: `translateY(${first * lineHeight}px)` }}>
            {items.slice(first, last).map((item, index) => (
              <div
                key={keyOf(item)}
                id={`line-${keyOf(item)}`}
                class="line"
                role="option"
                aria-selected={keyOf(item) === selected}
                aria-posinset={first + index + 1}
                aria-setsize={items.length}
                onClick={() => onSelect(item)}
              >
                {props.line(item)}
              </div>
            ))}
          </div>
        </div>
      </div>
      {!atEnd.value && <button type="button" class="button to-latest" onClick={toEnd}>{props.latest}</button>}
    </div>
  );
}

/** Where a key leads from the line at `at` (-1 for none), or null when it leads nowhere. */
export function destination(key: string, at: number, length: number): number | null {
  if (length === 0) return null;
  if (key === "Home") return 0;
  if (key === "End") return length - 1;
  if (key === "ArrowUp") return at === -1 ? length - 1 : Math.max(0, at - 1);
  if (key === "ArrowDown") return at === -1 ? length - 1 : Math.min(length - 1, at + 1);
  return null;
}

function reveal(box: HTMLDivElement | null, top: number, height: number): void {
  if (!box) return;
  if (top < box.scrollTop) box.scrollTop = top;
  else if (top + height > box.scrollTop + box.clientHeight) box.scrollTop = top + height - box.clientHeight;
}
