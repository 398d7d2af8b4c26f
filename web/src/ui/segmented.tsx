/** A choice of a few, all of them visible: a radio group by its native elements, so that arrow keys work. */

import type { ComponentChildren, JSX } from "preact";
import { useId } from "preact/hooks";

interface Choice<T extends string> {
  readonly value: T;
  readonly label: string;
  /** Shown instead of the label, which is then read out only. */
  readonly icon?: ComponentChildren;
}

interface Props<T extends string> {
  readonly legend: string;
  readonly choices: readonly Choice<T>[];
  readonly value: T;
  readonly onChoose: (value: T) => void;
}

export function Segmented<T extends string>({ legend, choices, value, onChoose }: Props<T>): JSX.Element {
  const name = useId();
  return (
    <fieldset class="segmented">
      <legend class="off-screen">{legend}</legend>
      {choices.map((choice) => (
        <label key={choice.value} class="segment" title={choice.icon ? choice.label : undefined}>
          <input
            type="radio"
            name={name}
            value={choice.value}
            checked={choice.value === value}
            onChange={() => onChoose(choice.value)}
          />
          <span class="segment-face">
            {choice.icon}
            <span class={choice.icon ? "off-screen" : undefined}>{choice.label}</span>
          </span>
        </label>
      ))}
    </fieldset>
  );
}
