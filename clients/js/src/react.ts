/** `chappe/react`: a client and its channels as hooks. */

import { useEffect, useState } from "react";
import type { Hooks } from "./hooks.js";
import { makeHooks } from "./hooks.js";

export type { ChannelState, ChappeState, UseSubscriptionOptions } from "./hooks.js";

const hooks = makeHooks({ useState, useEffect });
export const useChappe: Hooks["useChappe"] = hooks.useChappe;
export const useSubscription: Hooks["useSubscription"] = hooks.useSubscription;
