-- As `migrations/0013_members.sql`.
ALTER TABLE node ADD COLUMN status text COLLATE "C" NOT NULL DEFAULT '';
ALTER TABLE node ADD COLUMN config text COLLATE "C" NOT NULL DEFAULT '';

CREATE TABLE member (
    node     bigint NOT NULL,
    pipeline text COLLATE "C" NOT NULL,
    armed    bigint NOT NULL DEFAULT 0,
    agreed   bigint NOT NULL DEFAULT 0,
    lagging  text COLLATE "C" NOT NULL DEFAULT '',
    PRIMARY KEY (node, pipeline)
);

CREATE TABLE round (
    id          bigint PRIMARY KEY,
    pipeline    text COLLATE "C" NOT NULL,
    kind        text COLLATE "C" NOT NULL CHECK (kind IN ('scan', 'notice')),
    due         bigint NOT NULL,
    delivery    bigint NOT NULL,
    accept_loss bigint
);

CREATE TABLE served (
    node     bigint NOT NULL,
    pipeline text COLLATE "C" NOT NULL,
    kind     text COLLATE "C" NOT NULL CHECK (kind IN ('scan', 'notice')),
    round    bigint NOT NULL DEFAULT 0,
    last     bigint NOT NULL DEFAULT 0,
    report   text COLLATE "C" NOT NULL DEFAULT '',
    PRIMARY KEY (node, pipeline, kind)
);

ALTER TABLE delivery ADD COLUMN without text COLLATE "C" NOT NULL DEFAULT '';

CREATE TABLE ask (
    id        bigint PRIMARY KEY,
    node      bigint NOT NULL,
    body      text COLLATE "C" NOT NULL,
    withdrawn bigint NOT NULL DEFAULT 0,
    answer    text COLLATE "C"
);
