/** Line icons, 20 by 20, drawn in the colour of the text around them. Decoration: the words beside them carry the meaning. */

import type { ComponentChildren, JSX } from "preact";

function Icon({ children }: { children: ComponentChildren }): JSX.Element {
  return (
    <svg class="icon" viewBox="0 0 20 20" aria-hidden="true" focusable="false">
      {children}
    </svg>
  );
}

/** The optical telegraph: a mast, its regulator and two indicators. */
export function Logo(): JSX.Element {
  return (
    <svg class="logo" viewBox="0 0 32 32" aria-hidden="true" focusable="false">
      <rect class="logo-ground" width="32" height="32" rx="7" />
      <path class="logo-arms" d="M16 13.5V26M11.5 26h9M7.5 16.5l17-6M7.5 16.5V9.5M24.5 10.5v8" />
    </svg>
  );
}

export const HomeIcon = (): JSX.Element => <Icon><path d="M3 9.5 10 3.5l7 6M5 8v8.5h10V8M8.5 16.5v-4h3v4" /></Icon>;
export const ClientIcon = (): JSX.Element => <Icon><path d="M2.5 4h15v12h-15zM5.5 8l2.5 2-2.5 2M10 12.5h4.5" /></Icon>;
export const ChatIcon = (): JSX.Element => <Icon><path d="M3 4h14v9.5H9l-4 3v-3H3zM6.5 7.5h7M6.5 10.2h4.5" /></Icon>;
export const SunIcon = (): JSX.Element => <Icon><circle cx="10" cy="10" r="3.2" /><path d="M10 2.5v2M10 15.5v2M2.5 10h2M15.5 10h2M4.7 4.7l1.4 1.4M13.9 13.9l1.4 1.4M4.7 15.3l1.4-1.4M13.9 6.1l1.4-1.4" /></Icon>;
export const MoonIcon = (): JSX.Element => <Icon><path d="M16.5 12A7 7 0 0 1 8 3.5a7 7 0 1 0 8.5 8.5z" /></Icon>;
export const SystemIcon = (): JSX.Element => <Icon><circle cx="10" cy="10" r="6.5" /><path class="icon-fill" d="M10 3.5a6.5 6.5 0 0 1 0 13z" /></Icon>;
export const CopyIcon = (): JSX.Element => <Icon><path d="M7 7h9.5v9.5H7zM13 7V3.5H3.5V13H7" /></Icon>;
export const CheckIcon = (): JSX.Element => <Icon><path d="m4 10.5 4 4 8-9" /></Icon>;
export const CloseIcon = (): JSX.Element => <Icon><path d="m5 5 10 10M15 5 5 15" /></Icon>;
export const SendIcon = (): JSX.Element => <Icon><path d="M3 10h13M11 5l5 5-5 5" /></Icon>;
export const PeopleIcon = (): JSX.Element => <Icon><circle cx="7.5" cy="7" r="2.7" /><path d="M2.5 16c.3-3 2.2-4.6 5-4.6s4.7 1.6 5 4.6M13 4.6a2.6 2.6 0 0 1 0 4.9M14.6 11.9c1.700.5 2.700 1.900 2.900 4.100" /></Icon>;
export const DownIcon = (): JSX.Element => <Icon><path d="M10 4v12M5 11l5 5 5-5" /></Icon>;
