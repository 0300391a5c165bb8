-- Which controllers could command more than they do: where several share the trees, these divide what is free.

ALTER TABLE controllers ADD COLUMN able boolean NOT NULL DEFAULT false;
