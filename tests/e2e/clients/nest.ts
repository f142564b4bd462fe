// A NestJS client: proto-loader on the package's contracts, as the platform's siblings write one.
import "reflect-metadata";

import { randomUUID } from "node:crypto";
import { isDeepStrictEqual } from "node:util";

import {
  channelOptions,
  loaderOptions,
  protoFiles,
  protoPackage,
} from "@calisthenics/training-client";
import { type CallOptions, InterceptingCall, type Interceptor, Metadata } from "@grpc/grpc-js";
import { Module } from "@nestjs/common";
import { NestFactory } from "@nestjs/core";
import { type ClientGrpc, ClientsModule, Transport } from "@nestjs/microservices";
import { firstValueFrom, type Observable, toArray } from "rxjs";

import { address, athlete, caller, digest, refused, requestId, stranger } from "./common.ts";

type Message = Record<string, any>;
type Rpc = (
  request: Message,
  metadata?: Metadata,
  options?: Partial<CallOptions>,
) => Observable<Message>;
type Service = Record<string, Rpc>;

// NestJS does not hand out the trailing metadata of a call that succeeds; an interceptor sees it.
let trailing = new Metadata();
const remember: Interceptor = (options, nextCall) =>
  new InterceptingCall(nextCall(options), {
    start: (metadata, _listener, next) =>
      next(metadata, {
        onReceiveStatus: (status, forward) => {
          trailing = status.metadata;
          forward(status);
        },
      }),
  });

class App {}
Module({
  imports: [
    ClientsModule.register([
      {
        name: "TRAINING",
        transport: Transport.GRPC,
        options: {
          url: address,
          package: protoPackage,
          protoPath: protoFiles,
          loader: loaderOptions,
          channelOptions: { ...channelOptions, interceptors: [remember] } as object,
        },
      },
    ]),
  ],
})(App);

const app = await NestFactory.createApplicationContext(App, { logger: ["error"] });
const client = app.get<ClientGrpc>("TRAINING");
const exercises = client.getService<Service>("ExerciseService");
const workouts = client.getService<Service>("WorkoutService");
const sessions = client.getService<Service>("SessionService");
const me = caller(athlete);

const pullUp = await firstValueFrom(exercises.getExercise({ exercise: "pull-up" }));

function draft(hour: number): Message {
  return {
    startTime: { seconds: Date.UTC(2026, 2, 2, hour) / 1000, nanos: 123_456_000 },
    timeZone: "Europe/Berlin",
    durationSeconds: 0,
    exercises: [{ exerciseId: pullUp.id, sets: [{ actualReps: 6, rpe: 8 }] }],
  };
}

async function log() {
  const request = { session: draft(8), requestId: randomUUID() };
  const first = await firstValueFrom(sessions.logSession(request, me));
  const again = await firstValueFrom(sessions.logSession(request, me));
  const { effort, ...set } = first.exercises[0].sets[0];
  return {
    id: first.id,
    sameAnswer: isDeepStrictEqual(first, again),
    state: first.state,
    start: new Date(Number(first.startTime.seconds) * 1000 + 123).toISOString(),
    nanos: first.startTime.nanos,
    localDate: [first.localDate.year, first.localDate.month, first.localDate.day],
    durationSeconds: first.durationSeconds,
    rpeIsAbsent: (first.sessionRpe ?? null) === null,
    effort: [effort, set[effort]],
  };
}

async function pages() {
  const sizes: number[] = [];
  const ids = new Set<string>();
  let pageToken = "";
  do {
    const page = await firstValueFrom(sessions.listSessions({ pageSize: 2, pageToken }, me));
    sizes.push(page.sessions.length);
    page.sessions.forEach((session: Message) => ids.add(session.id));
    pageToken = page.nextPageToken;
  } while (pageToken);
  return { sizes, distinct: ids.size };
}

async function exported() {
  const messages = await firstValueFrom(sessions.exportSessions({}, me).pipe(toArray()));
  const ids = messages.flatMap(({ sessions }) => sessions.map(({ id }: Message) => id));
  const summary = messages.at(-1)?.summary;
  return {
    count: ids.length,
    summaryCount: summary?.sessionCount,
    digestMatches: summary?.idsSha256 === digest(ids),
  };
}

async function update() {
  const workout = { displayName: "Pull day", description: "Before" };
  const created = await firstValueFrom(workouts.createWorkout({ workout }, me));
  const request = {
    workoutId: created.id,
    workout: { displayName: "Not in the mask", description: "After", etag: created.etag },
    updateMask: { paths: ["description"] },
  };
  const updated = await firstValueFrom(workouts.updateWorkout(request, me));
  const { displayName, description, revision } = updated;
  return { displayName, description, revision };
}

async function requestIdComesBack() {
  trailing = new Metadata();
  await firstValueFrom(sessions.listSessions({}, me));
  return trailing.get("x-request-id")[0] === requestId;
}

const logged = await log();
for (const hour of [10, 12, 14, 16]) {
  await firstValueFrom(sessions.logSession({ session: draft(hour) }, me));
}
const nowhere = { ...draft(18), timeZone: "" };
const own = { sessionId: logged.id };

const results = {
  logged,
  pages: await pages(),
  exported: await exported(),
  update: await update(),
  invalid: await refused(firstValueFrom(sessions.logSession({ session: nowhere }, me))),
  foreign: await refused(firstValueFrom(sessions.getSession(own, caller(stranger)))),
  deadline: await refused(firstValueFrom(sessions.listSessions({}, me, { deadline: new Date() }))),
  requestIdComesBack: await requestIdComesBack(),
};
console.log(JSON.stringify(results));
await app.close();
