import type { JSX } from "preact";
export function Client(): JSX.Element { return <p />; }
